"""A workflow's files as they came with a submission: checked, and made into the bundle that the blob store keeps."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.registry import EngineRegistry
from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.json_pointers import pointer
from penstock_domain.source_tree import fault_of_path, faults_of_tree, path_text
from penstock_schemas.api import SubmittedSource, Violation
from penstock_schemas.jobs import DeclaredSoftware, Source, SourceKind
from penstock_sources.failures import InvalidSource
from penstock_sources.file_tree import FileTree
from penstock_sources.limits import MAX_FILES, MAX_SUBMITTED_ENTRIES
from penstock_sources.staging.declarations import Declarations
from penstock_sources.staging.submitted_entries import SubmittedEntry, entry_of, left_out_of, tree_of

_encoder = msgspec.json.Encoder()

SourceRoots = tuple[PurePosixPath, ...]
"""The folders on the runners' disks below which a submission may name its workflow."""


class SourceBundle(Struct, frozen=True):
    """The files of a submission, as one blob under the hash of its content."""

    key: str
    content: bytes
    source: Source
    content_sha256: str
    """A hash of the same without times: the same for the same files, whenever they were written."""


def make_bundle(submitted: SubmittedSource, *, engine: str, engines: EngineRegistry) -> SourceBundle:
    """Return the bundle of `submitted.files`, for one of the installed `engines`.

    Raises:
        InvalidSource: a path is not safe or not clear, a content is not base64, or the workflow's main file is missing.

    """
    entries = read_entries(submitted, engine=engine, engines=engines)
    content = _encoder.encode({"files": dict(sorted((entry.label, entry.file) for entry in entries))})
    sha256 = hashlib.sha256(content).hexdigest()
    key = f"sources/{sha256}.json"
    source = Source(
        kind=SourceKind.BUNDLE,
        location=key,
        entrypoint=submitted.entrypoint,
        sha256=sha256,
        size_bytes=len(content),
        left_out=left_out_of(submitted),
        declared=_declared(entries, engines.find(engine)),
    )
    return SourceBundle(key, content, source, content_sha256=_without_times(entries))


def _declared(entries: Sequence[SubmittedEntry], engine: EngineDescriptor | None) -> tuple[DeclaredSoftware, ...]:
    declarations = Declarations(() if engine is None else (engine,))
    for entry in entries:
        if entry.is_file:
            declarations.read(entry.path, entry.content())
    return declarations.listed


def read_entries(submitted: SubmittedSource, *, engine: str, engines: EngineRegistry) -> tuple[SubmittedEntry, ...]:
    """Return the files, links and folders of a submission, checked.

    Raises:
        InvalidSource: as `make_bundle`.

    """
    files = submitted.files or {}
    reserved, descriptor = engines.reserved_folders(engine), engines.find(engine)
    if len(files) > MAX_SUBMITTED_ENTRIES:
        detail = f"{len(files):,} entries are too many; at most {MAX_SUBMITTED_ENTRIES:,} can come with a submission"
        raise InvalidSource([Violation(pointer=pointer("source", "files"), detail=detail)])
    entries = tuple(
        entry_of(label, file, pointer("source", "files", path_text(label)), reserved=reserved)
        for label, file in files.items()
    )
    violations = [
        *_check_entries(entries, reserved),
        *_check_main(tree_of(entries), submitted.entrypoint, descriptor),
        *_check_text(entries, submitted.entrypoint, descriptor),
    ]
    if violations:
        raise InvalidSource(violations[:50])
    return entries


def path_source(
    submitted: SubmittedSource, roots: SourceRoots, *, engine: str | None, engines: EngineRegistry
) -> Source:
    """Return the source that names a folder or file on the runners' disk.

    Raises:
        InvalidSource: it is not below one of the `roots` that the operator allowed.

    """
    path = submitted.path or ""
    violation = _check_root(path, roots)
    if violation is None and submitted.entrypoint is not None:
        fault = fault_of_path(submitted.entrypoint, engines.reserved_folders(engine))
        violation = Violation(pointer=pointer("source", "entrypoint"), detail=fault) if fault else None
    if violation is not None:
        raise InvalidSource([violation])
    return Source(
        kind=SourceKind.PATH,
        location=str(PurePosixPath(path)),
        entrypoint=submitted.entrypoint,
        left_out=left_out_of(submitted),
    )


def _check_entries(entries: Sequence[SubmittedEntry], reserved: ReservedFolders) -> Iterator[Violation]:
    tree = tree_of(entries)
    places = {entry.path: entry.place for entry in entries}
    for count, what in ((len(tree.files) + len(tree.links), "files"), (len(tree.folders), "folders")):
        if count > MAX_FILES:
            detail = f"{count:,} {what} are too many; at most {MAX_FILES:,} can come with a submission"
            yield Violation(pointer=pointer("source", "files"), detail=detail)
            return
    yield from (Violation(pointer=entry.place, detail=entry.fault) for entry in entries if entry.fault is not None)
    if len(places) < len(entries):
        yield Violation(pointer=pointer("source", "files"), detail="two entries have the same path; which one counts?")
    for path, fault in faults_of_tree(tree.files, tree.links, tree.folders, reserved):
        yield Violation(pointer=places[path], detail=fault)


def check_uploaded(tree: FileTree, main: str | None, *, engine: EngineDescriptor | None) -> None:
    """Check that the files of an upload hold the workflow's main file.

    Raises:
        InvalidSource: they do not; it states what they are.

    """
    violations = tuple(_check_main(tree, main, engine))
    if violations:
        raise InvalidSource(violations)


def _check_main(tree: FileTree, main: str | None, engine: EngineDescriptor | None) -> Iterator[Violation]:
    if main is not None:
        if not tree.has_file(main):
            yield Violation(
                pointer=pointer("source", "entrypoint"),
                detail=f"`{path_text(main)}` is not among the files; they are {_listed(tree.files)}",
            )
        return
    locations = () if engine is None else engine.entrypoints
    if engine is not None and locations and not any(tree.has_file(path) for path in locations):
        yield Violation(
            pointer=pointer("source", "files"),
            detail=f"there is no {engine.entrypoint_title}: looked for {', '.join(locations)} among "
            f"{_listed(tree.files)}; name another main file in `source.entrypoint`",
        )


def _check_text(
    entries: Sequence[SubmittedEntry], main: str | None, engine: EngineDescriptor | None
) -> Iterator[Violation]:
    """Check the text of the main file as its engine does; it is checked on the runner where it did not come as text."""
    if engine is None:
        return
    files = {entry.path: entry for entry in entries if entry.fault is None and entry.is_file}
    locations = engine.entrypoints if main is None else (main,)
    entry = next((files[path] for path in locations if path in files), None)
    if entry is not None and entry.file.text is not None:
        fault = engine.check_entrypoint(entry.path, entry.file.text)
        if fault is not None:
            yield Violation(pointer=entry.place, detail=fault)


def _listed(files: Collection[str]) -> str:
    names = sorted(files)
    some = ", ".join(f"`{path_text(name)}`" for name in names[:10]) or "no files at all"
    return f"{some} and {len(names) - 10} more" if len(names) > 10 else some


def _without_times(entries: Sequence[SubmittedEntry]) -> str:
    timeless = {entry.label: replace(entry.file, mtime_ns=None) for entry in entries}
    return hashlib.sha256(_encoder.encode(dict(sorted(timeless.items())))).hexdigest()


def _check_root(path: str, roots: SourceRoots) -> Violation | None:
    place = pointer("source", "path")
    pure = PurePosixPath(path)
    if not roots:
        return Violation(
            pointer=place,
            detail="this server takes no paths (its operator set no PENSTOCK_SOURCE_ROOTS); send the files in "
            "`source.files`",
        )
    if any(ord(char) < 32 for char in path) or not pure.is_absolute() or ".." in pure.parts:
        return Violation(pointer=place, detail="an absolute path without `..` is expected")
    if not any(pure.is_relative_to(root) for root in roots):
        allowed = ", ".join(f"`{root}`" for root in roots)
        return Violation(pointer=place, detail=f"only paths below {allowed} are allowed")
    return None
