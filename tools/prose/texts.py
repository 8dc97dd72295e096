"""Names and prose of a source file or a page, with the place of each."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from tools.prose.words import Where


class Text(NamedTuple):
    """A piece of a file: `offset` is where it begins in the file."""

    where: Where
    offset: int
    text: str


_PYTHON: Final = re.compile(
    r"""
      (?P<string>[rRbBuUfF]{0,2}(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    | (?P<comment>\#[^\n]*)
    | (?P<name>[^\W\d]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"#[^\n]*")
_FENCE: Final = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"(`+)(?:(?!\n\s*\n).)+?\1", re.DOTALL)
_ADDRESS: Final = re.compile(r"(?<=\]\()[^)\s]+|https?://\S+")


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """Replace what matches by spaces, and keep line ends, so that offsets stay true."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def python_texts(source: str) -> Iterator[Text]:
    """Yield each name, comment and string of Python code. A string without a space is data, and is left out."""
    for match in _PYTHON.finditer(source):
        if match.lastgroup == "name":
            yield Text(Where.NAME, match.start(), match.group())
        elif match.lastgroup == "comment" or " " in match.group():
            yield Text(Where.PROSE, match.start(), _blanked(_ADDRESS, _blanked(_CODE, match.group())))


def comment_texts(content: str) -> Iterator[Text]:
    """Yield each comment of a file whose comments begin with `#`, such as a Makefile."""
    for match in _COMMENT.finditer(content):
        yield Text(Where.PROSE, match.start(), _blanked(_ADDRESS, _blanked(_CODE, match.group())))


def texts_of(path: str, content: str) -> Iterator[Text]:
    """Yield the texts of a file, by the kind that its name shows."""
    if path.endswith(".md"):
        return markdown_texts(content)
    if path.endswith((".py", ".smk", "Snakefile")):
        return python_texts(content)
    return comment_texts(content)


def markdown_texts(page: str) -> Iterator[Text]:
    """Yield the prose of a page: everything but code and addresses."""
    yield Text(Where.PROSE, 0, _blanked(_ADDRESS, _blanked(_CODE, _blanked(_FENCE, page))))
