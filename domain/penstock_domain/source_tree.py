"""The tree of a workflow's files: names of any bytes, entries that fit together, and links that stay inside.

Within a program a path is text as `os.fsdecode` makes it: bytes that are no UTF-8 are lone surrogates. JSON cannot
carry those, so a path on the wire is a label and, where the label is not the path itself, the path's bytes in base64.

Pure: nothing here touches a disk. The gateway checks a tree with it when it is submitted, the runner before it is made.
"""

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from msgspec import Struct

from penstock_domain.engines.reserved_folders import ReservedFolders

MAX_PATH_BYTES: Final = 1024
MAX_NAME_BYTES: Final = 255
MAX_DEPTH: Final = 64
"""Names in a path."""
MAX_LINK_BYTES: Final = 1024
"""Of the target of a link."""
MAX_LINKS_IN_A_PATH: Final = 40
"""As many as Linux follows."""
_MAX_SHOWN_CHARS: Final = 200
_LOOPS: Final = "the link leads to itself, or through too many links"
_ABSOLUTE: Final = "the link's target is absolute; only targets relative to the link are taken"


class StagedFiles(Struct, frozen=True, kw_only=True):
    """What was staged into a work directory besides its source."""

    result_paths: frozenset[str] = frozenset()
    """The files and links that came from an earlier run."""
    moved_from: str | None = None
    """The path of the earlier run's work directory; `None`: nothing came from one."""
    lost_results: str | None = None
    """Why results of an earlier run were not staged, although they were wanted."""


class LinkRefused(Exception):
    """A link leads out of its folder, or nowhere; the text states how."""


class LinkLoops(LinkRefused):
    """A link leads to itself, or through more links than the kernel follows: nothing is reached through it."""


def wire_path(path: str) -> tuple[str, str | None]:
    """Return a path as a label of valid Unicode, and in base64 where the label is not the path itself."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raw = _bytes(path)
        return raw.decode(errors="backslashreplace"), base64.b64encode(raw).decode("ascii")
    return path, None


def path_of(label: str, encoded: str | None) -> str:
    """Return the path that `wire_path` made this of.

    Raises:
        ValueError: `encoded` is no base64.

    """
    if encoded is None:
        return label
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "surrogateescape")
    except binascii.Error:
        raise ValueError("this is not standard base64 (RFC 4648, with padding)") from None


def path_text(path: str) -> str:
    """Return a path as a message, a log or a header may have it: printable, valid Unicode and short."""
    return "".join(character if character.isprintable() else "?" for character in path[:_MAX_SHOWN_CHARS])


def fault_of_path(path: str, reserved: ReservedFolders) -> str | None:
    """Return what keeps `path` from being a relative path that stays inside its folder; `None` when nothing does.

    Folders that are `reserved` for the engine take no other files than its records.
    """
    if not path:
        return "the path is empty"
    if "\0" in path:
        return "the path holds a NUL"
    if path.startswith("/"):
        return "the path is absolute; write it relative to the workflow's folder"
    parts = path.split("/")
    if ".." in parts:
        return "the path leads out of its folder (`..`)"
    if "" in parts or "." in parts:
        return "the path is not plain; remove `.`, doubled and trailing `/`"
    fault = reserved.fault_of(path)
    if fault is not None:
        return fault
    if len(parts) > MAX_DEPTH:
        return f"the path leads through more than {MAX_DEPTH} names"
    try:
        lengths = [len(_bytes(part)) for part in parts]
    except UnicodeEncodeError:
        return "the path is no valid Unicode; give its bytes in `path_base64`"
    if sum(lengths) + len(parts) - 1 > MAX_PATH_BYTES or max(lengths) > MAX_NAME_BYTES:
        return f"the path is longer than {MAX_PATH_BYTES} bytes, or one of its names longer than {MAX_NAME_BYTES}"
    return None


def fault_of_link(path: str, target: str, reserved: ReservedFolders) -> str | None:
    """Return why `target` cannot be the target of the link at `path`, without regard to other paths; empty: it can."""
    try:
        size_bytes = len(_bytes(target))
    except UnicodeEncodeError:
        return "the link's target is no valid Unicode; give its bytes in `link_base64`"
    if not target or "\0" in target:
        return "the link's target is empty or holds a NUL"
    if size_bytes > MAX_LINK_BYTES:
        return f"the link's target is longer than {MAX_LINK_BYTES} bytes"
    if target.count("/") >= MAX_DEPTH:
        return f"the link's target leads through more than {MAX_DEPTH} names"
    return reserved.fault_of_special(path)


class LinkMap:
    """The links of a tree. Each is followed once, however many paths lead through it.

    Args:
        targets: the target of each link, by its path; no path leads through another link.

    """

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = targets
        self._known: dict[str, tuple[str, int] | LinkRefused] = {}
        """Where each link leads, and through how many links; or why it leads nowhere."""

    def resolve(self, path: str) -> str:
        """Return where `path` leads within the tree; what need not exist counts as a folder.

        Raises:
            LinkRefused: it leads out of the tree.
            LinkLoops: it leads through too many links.

        """
        frames = [_Frame("", "", path)]
        begun: set[str] = set()
        while True:
            frame = frames[-1]
            outcome = self._advance(frame)
            if isinstance(outcome, str):
                if outcome not in begun:
                    begun.add(outcome)
                    frames.append(_Frame(outcome, outcome.rpartition("/")[0], self._targets[outcome]))
                    continue
                outcome = LinkLoops(_LOOPS)
            if isinstance(outcome, LinkRefused):
                self._known.update((one_frame.link, outcome) for one_frame in frames if one_frame.link)
                raise outcome
            if not frame.link:
                return frame.done
            self._known[frame.link] = (frame.done, frame.followed + 1)
            frames.pop()

    def stays_inside(self, path: str) -> bool:
        """Return whether a path leads to nothing outside the tree; one that loops leads nowhere."""
        return self.fault_of(path) is None

    def fault_of(self, path: str) -> str | None:
        """Return how `path` leads out of the tree; `None` when it does not."""
        try:
            self.resolve(path)
        except LinkLoops:
            return None  # each of its links is checked by itself
        except LinkRefused as error:
            return str(error)
        return None

    def _advance(self, frame: "_Frame") -> str | LinkRefused | None:
        """Follow what is left of a path; return a link that must be followed first, or why it leads nowhere."""
        while frame.rest:
            part = frame.rest[-1]
            inner = f"{frame.done}/{part}" if frame.done else part
            if part == "..":
                if not frame.done:
                    return LinkRefused("the link leads out of the workflow's folder")
                frame.done = frame.done.rpartition("/")[0]
            elif inner in self._targets and part not in ("", "."):
                known = self._known.get(inner)
                if known is None:
                    absolute = self._targets[inner].startswith("/")
                    return LinkRefused(_ABSOLUTE) if absolute else inner
                if isinstance(known, LinkRefused):
                    return known
                frame.done, frame.followed = known[0], frame.followed + known[1]
                if frame.followed > MAX_LINKS_IN_A_PATH:
                    return LinkLoops(_LOOPS)
            elif part not in ("", "."):
                frame.done = inner
            frame.rest.pop()
        return None


class _Frame:
    """A path on its way: of a link, or the one that was requested."""

    def __init__(self, link: str, done: str, rest: str) -> None:
        self.link = link
        self.done = done
        self.rest = rest.split("/")[::-1]
        self.followed = 0


def faults_of_tree(
    files: Collection[str], links: Mapping[str, str], folders: Collection[str], reserved: ReservedFolders
) -> Iterator[tuple[str, str]]:
    """Yield each path that does not fit beside the others, with the reason. Each path itself was checked before.

    A tree without faults can be made in any order as long as its links come last: nothing is written through one.
    """
    for path in (*files, *links, *folders):
        for parent in folders_of(path):
            if parent in links:
                yield path, f"`{path_text(parent)}` is a link here and a folder there"
                break
            if parent in files:
                yield path, f"`{path_text(parent)}` is a file here and a folder there"
                break
        if (path in files) + (path in links) + (path in folders) > 1:
            yield path, "this path is given twice; give it once"
    known = LinkMap(links)
    for path, target in links.items():
        fault = fault_of_link(path, target, reserved)
        if fault is None:
            fault = known.fault_of(path)
        if fault is not None:
            yield path, fault


def folders_of(path: str) -> tuple[str, ...]:
    """Return the folders that hold `path`, the nearest first, without the tree's own."""
    parts = path.split("/")
    return tuple("/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
