"""A workflow's files as they came with a submission: checked, and made into the bundle that the blob store keeps."""

import base64
import binascii
import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final

import msgspec
from msgspec import Struct

from penstock_core.engine_parameters import SNAKEMAKE
from penstock_gateway.bodies import pointer
from penstock_gateway.problems import Invalid
from penstock_schemas.api import Base64File, SubmittedSource, Violation
from penstock_schemas.jobs import Source, SourceKind

MAX_FILES: Final = 5000
MAX_PATH_BYTES: Final = 1024
MAX_NAME_BYTES: Final = 255
MAX_DEPTH: Final = 64
"""Names in a path."""
SNAKEFILE_PLACES: Final = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
"""Where Snakemake itself looks, in this order."""
RESERVED: Final = ".snakemake"
"""The engine's own folder: what it holds is not for a submission to write."""

_encoder = msgspec.json.Encoder()


class Bundle(Struct, frozen=True):
    """The files of a submission, as one blob under the hash of its content."""

    key: str
    content: bytes
    source: Source


def make_bundle(submitted: SubmittedSource, *, engine: str) -> Bundle:
    """Return the bundle of `submitted.files`.

    Raises:
        Invalid: a path is not safe or not clear, a content is not base64, or the workflow's main file is missing.

    """
    check_files(submitted, engine=engine)
    files = submitted.files or {}
    stored = {
        path: {"text": each} if isinstance(each, str) else {"base64": each.base64} for path, each in files.items()
    }
    content = _encoder.encode({"files": dict(sorted(stored.items()))})
    sha256 = hashlib.sha256(content).hexdigest()
    key = f"sources/{sha256}.json"
    source = Source(
        kind=SourceKind.BUNDLE,
        location=key,
        snakefile=submitted.snakefile,
        sha256=sha256,
        size_bytes=len(content),
    )
    return Bundle(key, content, source)


def check_files(submitted: SubmittedSource, *, engine: str) -> None:
    """Check the files of a submission.

    Raises:
        Invalid: as `make_bundle`.

    """
    files = submitted.files or {}
    violations = [*_check_files(files), *_check_main(files, submitted.snakefile, engine)]
    if violations:
        raise Invalid(violations[:50])


def content_of(file: str | Base64File) -> bytes:
    """Return the bytes of a file of a submission, which was checked."""
    return file.encode(errors="surrogatepass") if isinstance(file, str) else base64.b64decode(file.base64)


def path_source(submitted: SubmittedSource, roots: tuple[PurePosixPath, ...]) -> Source:
    """Return the source that names a folder or file on the runners' disk.

    Raises:
        Invalid: it is not below one of the `roots` that the operator allowed.

    """
    path = submitted.path or ""
    violation = _check_root(path, roots)
    if violation is None and submitted.snakefile is not None:
        fault = fault_of_path(submitted.snakefile)
        violation = Violation(pointer=pointer("source", "snakefile"), detail=fault) if fault else None
    if violation is not None:
        raise Invalid([violation])
    return Source(kind=SourceKind.PATH, location=str(PurePosixPath(path)), snakefile=submitted.snakefile)


def fault_of_path(path: str) -> str | None:
    """Say what keeps `path` from being a relative path that stays inside its folder; `None` when nothing does."""
    if not path:
        return "the path is empty"
    if any(ord(char) < 32 or ord(char) == 127 for char in path):
        return "the path holds a control character"
    if "\\" in path:
        return "the path holds a backslash; write `/` between folders"
    if path.startswith("/"):
        return "the path is absolute; write it relative to the workflow's folder"
    parts = path.split("/")
    if ".." in parts:
        return "the path leads out of its folder (`..`)"
    if "" in parts or "." in parts:
        return "the path is not plain; remove `.`, doubled and trailing `/`"
    if parts[0] == RESERVED:
        return f"the folder `{RESERVED}` belongs to the engine"
    if any(0xD800 <= ord(char) <= 0xDFFF for char in path):
        return "the path is no valid UTF-8"
    if len(parts) > MAX_DEPTH:
        return f"the path leads through more than {MAX_DEPTH} names"
    if len(path.encode()) > MAX_PATH_BYTES or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return f"the path is longer than {MAX_PATH_BYTES} bytes, or one of its names longer than {MAX_NAME_BYTES}"
    return None


def _check_files(files: Mapping[str, str | Base64File]) -> Iterator[Violation]:
    if len(files) > MAX_FILES:
        yield Violation(
            pointer=pointer("source", "files"),
            detail=f"{len(files):,} files are too many; at most {MAX_FILES:,} can come with a submission",
        )
        return
    for path, content in files.items():
        place = pointer("source", "files", path)
        fault = fault_of_path(path)
        if fault:
            yield Violation(pointer=place, detail=fault)
            continue
        parent = next((str(each) for each in PurePosixPath(path).parents if str(each) in files), None)
        if parent:
            yield Violation(pointer=place, detail=f"`{parent}` is a file here and a folder there")
        if isinstance(content, Base64File) and not _is_base64(content.base64):
            yield Violation(pointer=place + "/base64", detail="this is not standard base64 (RFC 4648, with padding)")


def check_uploaded(paths: Collection[str], main: str | None, *, engine: str) -> None:
    """Check that the files of an upload hold the workflow's main file.

    Raises:
        Invalid: they do not; it says what they are.

    """
    violations = tuple(_check_main(paths, main, engine))
    if violations:
        raise Invalid(violations)


def _check_main(files: Collection[str], main: str | None, engine: str) -> Iterator[Violation]:
    if main is not None:
        if main not in files:
            yield Violation(
                pointer=pointer("source", "snakefile"),
                detail=f"`{main}` is not among the files; they are {_listed(files)}",
            )
    elif engine == SNAKEMAKE and not any(place in files for place in SNAKEFILE_PLACES):
        yield Violation(
            pointer=pointer("source", "files"),
            detail=f"there is no Snakefile: looked for {', '.join(SNAKEFILE_PLACES)} among {_listed(files)}; "
            "name another main file in `source.snakefile`",
        )


def _listed(files: Collection[str]) -> str:
    names = sorted(files)
    shown = ", ".join(f"`{name}`" for name in names[:10]) or "no files at all"
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _check_root(path: str, roots: tuple[PurePosixPath, ...]) -> Violation | None:
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
