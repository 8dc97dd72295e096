"""The README is short, and begins with a picture of a real run that needs nothing from elsewhere."""

import re
from xml.etree import ElementTree

from tools.picture import HALF_WAY, PICTURE, ending, half_way, plain, screens
from tools.reference import ROOT

README = (ROOT / "README.md").read_text()
LINES_BEFORE_THE_PICTURE = 10


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 200


def test_the_readme_begins_with_the_picture() -> None:
    lines = README.splitlines()[:LINES_BEFORE_THE_PICTURE]
    [target] = [match[1] for line in lines if (match := re.search(r"!\[[^\]]+\]\(([^)]+)\)", line))]
    assert ROOT / target == PICTURE


def test_the_picture_shows_a_run_and_loads_nothing() -> None:
    text = PICTURE.read_text()
    words = " ".join("".join(element.itertext()) for element in ElementTree.fromstring(text))
    assert HALF_WAY.search(words)
    assert "completed after" in words
    assert re.findall(r"https?://[\w.]+", text.replace("http://127.0.0.1", "")) == ["http://www.w3.org"]


def test_a_screen_is_drawn_again_from_the_line_to_which_the_cursor_went() -> None:
    output = (
        "$ demo\r\nrunning 1/4 tasks\r\n\x1b[1F\x1b[J\x1b[32mrunning 2/4 tasks\x1b[0m\r\n"
        "\x1b[1F\x1b[Jid completed after 1s\r\nresults/variants.tsv"
    )
    frames = list(screens(output))
    assert [[plain(line) for line in frame] for frame in frames] == [
        ["$ demo", "running 1/4 tasks", ""],
        ["$ demo", "running 2/4 tasks", ""],
        ["$ demo", "id completed after 1s", "results/variants.tsv"],
    ]
    assert half_way(frames[:-1]) == frames[1]
    assert [plain(line) for line in ending(frames[-1])] == ["id completed after 1s"]
