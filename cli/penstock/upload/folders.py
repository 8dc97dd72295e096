"""Finds what of a workflow's folder goes along when it is submitted, and what stays behind and why."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from penstock.upload.folder_entries import FolderEntry
from penstock.upload.folder_walk import Selection, Walk
from penstock.upload.git_checkouts import read_checkout
from penstock.upload.ignore_rules import CACHES, SECRETS, grouped, rules_of, rules_of_file
from penstock.upload.workflow_places import BadWorkflow, check_folder, locate
from penstock_domain.source_tree import LinkMap, LinkRefused, path_text, wire_path
from penstock_schemas.jobs import LeftOut

MAX_FILES: Final = 5_000
"""A gateway takes no more with a submission."""
IGNORE_FILE: Final = ".penstockignore"
"""In the workflow's folder it states what stays behind, in the place of every `.gitignore`."""


class Chosen(Struct, frozen=True, kw_only=True):
    """The files of a workflow that go along."""

    folder: Path
    main: str
    """The main file, relative to the folder, as all paths."""
    entries: Mapping[str, FolderEntry]
    """Files, links and folders, by path, in order."""
    left_out: tuple[LeftOut, ...] = ()
    is_alone: bool = False
    """Whether the main file goes alone, because its folder shows no sign of a workflow."""

    @property
    def files(self) -> Mapping[str, int]:
        """Each file's size in bytes, by path."""
        return {path: entry.size_bytes for path, entry in self.entries.items() if entry.is_file}

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(self.files.values())


def choose(
    target: Path,
    *,
    entrypoint: str | None = None,
    engine: str | None = None,
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
    ignore: bool = True,
    force: bool = False,
) -> Chosen:
    """Find the files of the workflow at `target`: a folder, or its main file. None is read.

    Version control, caches and secrets stay behind, and what `.penstockignore` names; without that, in a git checkout,
    untracked files that git ignores. Of Snakemake's own folder the records go along that its rerun rules read.

    Args:
        target: the workflow's folder, or its main file.
        entrypoint: the main file, relative to the folder, when it is not where the engine looks for it.
        engine: the engine that runs it; `None`: any that is installed.
        exclude: further patterns, as in `.gitignore`.
        include: patterns of what goes along although a rule leaves it out.
        ignore: whether `.penstockignore` and `.gitignore` count.
        force: whether a system folder or a home directory may be sent.

    Raises:
        BadWorkflow: it does not exist, has no main file, is not meant to be sent, has too many files, or one that
            cannot be read.

    """
    if target.is_dir() and not force:
        check_folder(target)
    place = locate(target, entrypoint, engine)
    if wire_path(place.main)[1] is not None:
        raise BadWorkflow(f"the name of the main file {path_text(place.main)!r} is not UTF-8: rename it")
    if place.is_alone:
        alone = FolderEntry.of_file(place.folder / place.main)
        return Chosen(folder=place.folder, main=place.main, entries={place.main: alone}, is_alone=True)
    if not force:
        check_folder(place.folder)
    walk = Walk(place.folder, _selection(place.folder, exclude, include, ignore=ignore), max_files=MAX_FILES)
    walk.run()
    if walk.is_too_much:
        raise BadWorkflow(
            f"{too_much(place.folder, f'{MAX_FILES:,} files', f'reached at {path_text(walk.last)}')}, or use "
            "'penstock submit --in-place' where the server may read the folder itself"
        )
    entries = dict(sorted(walk.entries.items()))
    left_out = grouped(walk.left_out)
    _check_main(place.main, entries, walk.left_out)
    return Chosen(folder=place.folder, main=place.main, entries=entries, left_out=left_out)


def too_much(folder: Path, bound: str, where: str) -> str:
    """Return the refusal of a folder with more than `bound`: where most of it is, and what to do."""
    return f"{folder} has more than {bound} to send ({where}): leave data out with --exclude or a .penstockignore file"


def _selection(folder: Path, exclude: Sequence[str], include: Sequence[str], *, ignore: bool) -> Selection:
    ignore_file = folder / IGNORE_FILE
    has_file = ignore and ignore_file.is_file()
    lines = ignore_file.read_text(errors="replace").splitlines() if has_file else []
    return Selection(
        included=tuple(rules_of(include, "")),
        caches=tuple(rules_of(CACHES, "a cache or build product, '{}'")),
        secrets=tuple(rules_of(SECRETS, "it may hold a secret, '{}'; --include PATTERN sends it")),
        chosen_rules=(*rules_of_file(IGNORE_FILE, lines), *rules_of(exclude, "--exclude '{}'")),
        checkout=read_checkout(folder),
        follows_git=ignore and not has_file,
    )


def _check_main(main: str, entries: Mapping[str, FolderEntry], left_out: Sequence[LeftOut]) -> None:
    links = {path: entry.link for path, entry in entries.items() if entry.link is not None}
    try:
        real = LinkMap(links).resolve(main)
    except LinkRefused:
        real = main
    if real in entries:
        return
    reasons = [item.reason for item in left_out if main == item.path or main.startswith(item.path.rstrip("/") + "/")]
    why = reasons[0] if reasons else "a rule"
    raise BadWorkflow(f"{main} is left out by {why}: it is the workflow's main file")
