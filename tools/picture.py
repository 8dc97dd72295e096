"""Draw the picture of the README from a real run: `python -m tools.picture` (`make picture`).

It runs `penstock demo` in a pseudo-terminal and draws two moments of its screen: the run half way, and the end.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import tempfile
import termios
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PICTURE: Final = ROOT / "docs" / "images" / "run.svg"
COLUMNS: Final = 92
ROWS: Final = 60
CHARACTER_PX: Final = 7.8
LINE_PX: Final = 18
MARGIN_PX: Final = 16
COLORS: Final = {"1": "#ffffff", "2": "#8b949e", "32": "#56d364", "36": "#39c5cf", "31": "#ff7b72", "33": "#e3b341"}
FOREGROUND: Final = "#c9d1d9"
BACKGROUND: Final = "#0d1117"
HALF_WAY: Final = re.compile(r"running (\d+)/(\d+) tasks")
LAST_LINES: Final = re.compile(r"^results/variants\.tsv")
MAX_OUTPUT_BYTES: Final = 1_000_000
DEMO_TIMEOUT_S: Final = 120
_TOKEN: Final = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")


class Span(NamedTuple):
    """Some text of one color."""

    text: str
    color: str


Line = list[Span]


def record() -> str:
    """Return what `penstock demo` writes to a terminal."""
    with tempfile.TemporaryDirectory() as folder:
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        demo = subprocess.Popen(
            [ROOT / ".venv/bin/penstock", "demo"],
            stdin=subprocess.DEVNULL,
            stdout=follower,
            stderr=follower,
            cwd=folder,
        )
        os.close(follower)
        output = bytearray()
        try:
            while len(output) < MAX_OUTPUT_BYTES and (chunk := os.read(leader, 65536)):
                output += chunk
        except OSError:  # the demo closed its end
            pass
        os.close(leader)
        demo.wait(timeout=DEMO_TIMEOUT_S)
    text = output.decode()
    return text.replace(str(ROOT) + "/", "").replace(folder + "/", "")


def screens(output: str) -> Iterator[list[Line]]:
    """Yield the screen each time before it is drawn again, and at the end."""
    lines: list[Line] = [[]]
    row, color = 0, FOREGROUND
    for match in _TOKEN.finditer(output):
        arguments, command = match.group(1), match.group(2)
        if command == "m":
            color = COLORS.get(arguments, FOREGROUND)
        elif command == "F":
            yield [list(line) for line in lines]
            row -= int(arguments or "1")
        elif command == "J":
            del lines[row:]
            lines.append([])
        elif match.group() == "\n":
            row += 1
            if row == len(lines):
                lines.append([])
        elif match.group() != "\r" and command is None:
            lines[row].append(Span(match.group().expandtabs(4), color))
    yield lines


def plain(line: Line) -> str:
    """Return the text of a line."""
    return "".join(span.text for span in line)


def half_way(frames: list[list[Line]]) -> list[Line]:
    """Return the screen on which about half of the tasks have ended."""

    def distance(screen: list[Line]) -> float:
        counts = [HALF_WAY.search(plain(line)) for line in screen]
        found = [match for match in counts if match is not None]
        return abs(int(found[-1][1]) / int(found[-1][2]) - 0.5) if found else 1.0

    return min(frames, key=distance)


def ending(screen: list[Line]) -> list[Line]:
    """Return what the demo prints when the run has ended, up to its summary."""
    texts = [plain(line) for line in screen]
    begin = next(number for number, text in enumerate(texts) if "completed after" in text)
    end = next(number for number, text in enumerate(texts) if LAST_LINES.match(text))
    return screen[begin:end]


def drawn(lines: list[Line], title: str) -> str:
    """Return an SVG picture of the lines."""
    width = round(COLUMNS * CHARACTER_PX) + 2 * MARGIN_PX
    height = len(lines) * LINE_PX + 2 * MARGIN_PX
    rows: list[str] = []
    for number, line in enumerate(lines):
        spans = "".join(f'<tspan fill="{span.color}">{escape(span.text)}</tspan>' for span in line)
        rows.append(
            f'<text x="{MARGIN_PX}" y="{MARGIN_PX + (number + 0.75) * LINE_PX:g}" xml:space="preserve">{spans}</text>'
        )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            ' font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}"/>',
            *rows,
            "</svg>\n",
        ]
    )


def main() -> None:
    """Run the demo and write the picture."""
    frames = list(screens(record()))
    prompt: list[Line] = [[Span("$ penstock demo", "#ffffff")]]
    gap: list[Line] = [[Span("   ...", COLORS["2"])]]
    lines = [*prompt, *half_way(frames[:-1]), *gap, *ending(frames[-1])]
    while not plain(lines[-1]).strip():
        lines.pop()
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(drawn(lines, "A run of the example workflow with penstock demo"))


if __name__ == "__main__":
    main()
