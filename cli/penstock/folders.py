"""Finds the files of a workflow that go along when it is submitted."""

import fnmatch
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct

SNAKEFILES: Final = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
"""Where Snakemake looks for the main file."""
MAX_FILES: Final = 5_000
"""A gateway takes no more with a submission."""
ALWAYS_LEFT_OUT: Final = (
    ".git/",
    ".hg/",
    ".svn/",
    ".snakemake/",
    "__pycache__/",
    ".venv/",
    "venv/",
    "node_modules/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".pytest_cache/",
    ".ipynb_checkpoints/",
    ".DS_Store",
    "*.pyc",
    ".nextflow*",
)
IGNORE_FILES: Final = (".penstockignore", ".gitignore")
"""The first of these in the workflow's folder says what else stays behind."""


class BadWorkflow(Exception):
    """The folder cannot be submitted; the text says why and what to do."""


class Chosen(Struct, frozen=True, kw_only=True):
    """The files of a workflow that go along."""

    folder: Path
    main: str
    """The main file, relative to the folder, as all paths."""
    files: Mapping[str, int]
    """Each path with the file's size in bytes, in order."""
    left_out: int
    """Files and folders that a rule of the ignore file or of the user left behind."""
    ignore_file: str | None

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(self.files.values())


class _Rule(Struct, frozen=True):
    pattern: str
    is_negated: bool
    is_folder: bool
    is_anchored: bool

    def fits(self, path: str, is_folder: bool) -> bool:
        if self.is_folder and not is_folder:
            return False
        if self.is_anchored:
            return _fits_anchored(path, self.pattern)
        return fnmatch.fnmatchcase(PurePosixPath(path).name, self.pattern)


def choose(target: Path, *, snakefile: str | None = None, exclude: Sequence[str] = (), ignore: bool = True) -> Chosen:
    """Find the files of the workflow at `target`: a folder, or its main file. None is read.

    Version control, caches and what Snakemake keeps stay behind, and what `.penstockignore` or else `.gitignore` says.

    Args:
        target: the workflow's folder, or its Snakefile.
        snakefile: the main file, relative to the folder, when it is none of `SNAKEFILES`.
        exclude: further patterns, as in `.gitignore`.
        ignore: whether an ignore file counts.

    Raises:
        BadWorkflow: it does not exist, has no Snakefile, has too many files, or one that cannot be read.

    """
    folder, main = _locate(target, snakefile)
    ignore_file = next((name for name in IGNORE_FILES if (folder / name).is_file()), None) if ignore else None
    lines = list(exclude)
    if ignore_file:
        lines = (folder / ignore_file).read_text(errors="replace").splitlines() + lines
    own = tuple(_rules(ALWAYS_LEFT_OUT))
    asked = tuple(_rules(lines))
    left_out: list[str] = []
    files: dict[str, int] = {}
    for path in _walk(folder, own, asked, left_out):
        if len(files) >= MAX_FILES:
            raise BadWorkflow(
                f"{too_much(folder, f'{MAX_FILES:,} files', f'reached at {path}')}, or use "
                "'penstock submit --in-place' where the server may read the folder itself"
            )
        files[path] = _size(folder, path)
    if main not in files:
        raise BadWorkflow(f"{main} is left out by {ignore_file or '--exclude'}: it is the workflow's main file")
    return Chosen(folder=folder, main=main, files=files, left_out=len(left_out), ignore_file=ignore_file)


def too_much(folder: Path, bound: str, where: str) -> str:
    """Say that a folder has more than `bound`, where most of it is, and what to do in any case."""
    return f"{folder} has more than {bound} to send ({where}): leave data out with --exclude or a .penstockignore file"


def _locate(target: Path, snakefile: str | None) -> tuple[Path, str]:
    """Return the folder to pack and the main file within it."""
    if target.is_file():
        folder = target.absolute().parent
        if folder.name == "workflow" and target.name in ("Snakefile", "snakefile"):
            folder = folder.parent  # Snakemake's standard layout: the workflow's folder is one above
        return folder, target.absolute().relative_to(folder).as_posix()
    if not target.exists():
        raise BadWorkflow(f"there is no file or folder {target}")
    if not target.is_dir():
        raise BadWorkflow(f"{target} is neither a file nor a folder")
    names = SNAKEFILES if snakefile is None else (snakefile,)
    main = next((name for name in names if (target / name).is_file()), None)
    if main is None:
        raise BadWorkflow(
            f"{target} has no {' or '.join(names)}: give the main file itself, or its place with --snakefile"
        )
    return target.absolute(), main


def _walk(folder: Path, own: Sequence[_Rule], asked: Sequence[_Rule], left_out: list[str]) -> Iterator[str]:
    """Yield the relative paths to pack, in order; links are followed, each folder is entered once."""
    entered: set[Path] = set()
    for current, folders, names in os.walk(folder, followlinks=True):
        real = Path(current).resolve()
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        base = Path(current).relative_to(folder)
        kept: list[str] = []
        for name in sorted(folders):
            path = (base / name).as_posix()
            if _is_out(path, own, is_folder=True):
                continue
            (left_out if _is_out(path, asked, is_folder=True) else kept).append(path)
        folders[:] = [PurePosixPath(each).name for each in kept]
        for name in sorted(names):
            path = (base / name).as_posix()
            if _is_out(path, own, is_folder=False) or not (folder / path).is_file():
                continue
            if _is_out(path, asked, is_folder=False):
                left_out.append(path)
            else:
                yield path


def _rules(lines: Sequence[str]) -> Iterator[_Rule]:
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        is_negated = text.startswith("!")
        text = text.removeprefix("!")
        is_folder = text.endswith("/")
        text = text.rstrip("/")
        is_anchored = "/" in text.removeprefix("**/")
        pattern = text.removeprefix("/") if is_anchored else text.removeprefix("**/")
        if pattern:
            yield _Rule(pattern, is_negated, is_folder, is_anchored)


def _is_out(path: str, rules: Sequence[_Rule], *, is_folder: bool) -> bool:
    """Apply rules as git does: the last one that fits decides."""
    out = False
    for rule in rules:
        if rule.fits(path, is_folder):
            out = not rule.is_negated
    return out


def _fits_anchored(path: str, pattern: str) -> bool:
    return _fits_parts(path.split("/"), pattern.split("/"))


def _fits_parts(parts: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits_parts(parts[skip:], pattern[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits_parts(parts[1:], pattern[1:])


def _size(folder: Path, path: str) -> int:
    if not path.isascii() and not _is_utf8(path):
        raise BadWorkflow(f"the name of {path!r} is not UTF-8: rename it, or leave it out with --exclude")
    try:
        if not os.access(folder / path, os.R_OK):
            raise BadWorkflow(f"cannot read {folder / path}: permission denied; leave it out with --exclude")
        return (folder / path).stat().st_size
    except OSError as error:
        raise BadWorkflow(f"cannot read {folder / path}: {error.strerror}; leave it out with --exclude") from error


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
