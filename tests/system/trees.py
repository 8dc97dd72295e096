"""Folders as people have them: random ones, and how to compare two."""

import os
import stat
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

BASE_NS = 1_600_000_000_000_000_000
SNAKEFILE = 'rule all:\n    output: "made"\n    shell: "touch {output}"\n'
Tree = dict[str, Any]
"""By path: bytes or `None` for a folder with mode and time, or the target of a link."""


def names(*, any_bytes: bool = True) -> st.SearchStrategy[str]:
    """Return names of files: ordinary ones, and on request of any bytes."""
    plain = st.sampled_from(["a", "b.txt", "data", "results", "C", "c", "with space", "ünï", "-rf", "x.sh"])
    odd = st.sampled_from(["new\nline", "tab\t", "back\\slash", 'quo"te', "%41", "\x1b[2J", "*", "~"])
    raw = st.binary(min_size=1, max_size=6).map(os.fsdecode)
    found = plain | odd | (raw if any_bytes else st.nothing())
    return found.filter(lambda name: "/" not in name and "\0" not in name and name not in (".", ".."))


def trees(*, any_bytes: bool = True, has_sub_seconds: bool = True) -> st.SearchStrategy[dict[tuple[str, ...], Any]]:
    """Return what to make: content, mode and time by path."""
    step = 1 if has_sub_seconds else 1_000_000_000
    times = st.integers(0, 10**8 * (10**9 // step)).map(lambda item: BASE_NS + item * step)
    files = st.tuples(st.just("file"), st.binary(max_size=20) | st.just(b"#!/bin/sh\n"), st.booleans(), times)
    links = st.tuples(st.just("link"), st.sampled_from(["a", "data/a", "./b.txt", "nothing", "."]), st.none(), times)
    folders = st.tuples(st.just("folder"), st.none(), st.none(), times)
    paths = st.lists(names(any_bytes=any_bytes), min_size=1, max_size=3).map(tuple)
    return st.dictionaries(paths, files | links | folders, max_size=8)


def make(folder: Path, tree: dict[tuple[str, ...], Any]) -> None:
    """Make a folder; entries that do not fit beside earlier ones are skipped."""
    folder.mkdir(parents=True)
    (folder / "Snakefile").write_text(SNAKEFILE)
    times = {folder / "Snakefile": BASE_NS}
    for parts, (kind, content, is_executable, time_ns) in tree.items():
        place = folder.joinpath(*parts)
        inner = [folder.joinpath(*parts[:count]) for count in range(1, len(parts))]
        if os.path.lexists(place) or any(
            os.path.lexists(item) and (item.is_symlink() or not item.is_dir()) for item in inner
        ):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "file":
            place.write_bytes(content)
            place.chmod(0o755 if is_executable else 0o644)
        elif kind == "link":
            place.symlink_to(content)
        else:
            place.mkdir()
        times[place] = time_ns
    folders = sorted((path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()), reverse=True)
    for place, time_ns in [*times.items(), *((one_folder, times.get(one_folder, BASE_NS)) for one_folder in folders)]:
        os.utime(place, ns=(time_ns, time_ns), follow_symlinks=False)


def read(folder: Path, *, has_folder_times: bool = True) -> Tree:
    """Return what a folder holds: for each path its kind, content, execute bit and time."""
    found: Tree = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            place = Path(parent, name)
            status = place.lstat()
            path = place.relative_to(folder).as_posix()
            if stat.S_ISLNK(status.st_mode):
                found[path] = ("link", os.readlink(place), status.st_mtime_ns)  # noqa: PTH115
            elif stat.S_ISDIR(status.st_mode):
                found[path] = ("folder", status.st_mtime_ns if has_folder_times else None)
            else:
                is_executable = bool(status.st_mode & stat.S_IXUSR)
                found[path] = ("file", place.read_bytes(), is_executable, status.st_mtime_ns)
    return found
