"""What a run's `workflow_url` means: an attachment, a file in an attached archive, an address, or a catalogue entry.

Pure: the address is only taken apart here.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final, assert_never
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.engines.registry import EngineRegistry
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import SubmittedSource, Violation
from penstock_schemas.ids import is_token
from penstock_sources.failures import InvalidSource
from penstock_sources.staging.bundles import path_source

ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""How the names of attachments end that are unpacked when they are the workflow."""
CATALOGUE: Final = "penstock:"
"""What the address of a catalogue entry begins with: `penstock:name` or `penstock:name@version`."""
_OTHER_GIT: Final = re.compile(r"(git\+)?(ssh|git|file)://|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:")


class Files(Struct, frozen=True):
    """Files: attached, on the runners' disk, or to be fetched, possibly with attachments beside them."""

    source: SubmittedSource
    archive: str | None = None
    """The attachment to unpack first."""


class CatalogueReference(Struct, frozen=True):
    """A version of a workflow in the catalogue, the newest where none is named."""

    name: str
    version: str | None


Workflow = Files | CatalogueReference


def read_workflow(
    workflow_url: str, attachments: Sequence[str], roots: tuple[PurePosixPath, ...], engines: EngineRegistry
) -> Workflow:
    """Return what is to be run.

    Args:
        workflow_url: as the client gave it; may be empty.
        attachments: the names of the files that came with it, in their order.
        roots: the folders below which an address of the runners' disk may lead.
        engines: the engines that are installed.

    Raises:
        Invalid: it cannot be run here; the text lists what can.

    """
    if not workflow_url:
        return _only(attachments)
    if _OTHER_GIT.match(workflow_url) and not workflow_url.startswith("file:"):
        raise _wrong("repositories are read by https alone; write git+https://host/repository@branch#path/Snakefile")
    match _scheme(workflow_url):
        case "":
            return _relative(workflow_url, attachments)
        case "penstock":
            return _entry(workflow_url.partition(":")[2], attachments)
        case "file":
            if attachments:
                raise _wrong("a workflow on the server's disk takes no attachments; send one of the two")
            return Files(_on_disk(workflow_url, roots, engines))
        case "git+https" | "git+http":
            return Files(_repository(workflow_url.removeprefix("git+")))
        case "https" | "http":
            return Files(SubmittedSource(url=workflow_url))
        case "trs":
            raise _wrong(
                "this server does not use tool registries (TRS); give the address of the workflow itself, "
                "as git+https://host/repository@version#path/Snakefile, or attach its files"
            )
        case scheme:
            raise _wrong(
                f"this server takes no workflows from addresses that begin with `{scheme[:20]}:`; attach the files and "
                "name the main one by its relative path, or give an address with https: or git+https:"
            )


def name_of(workflow: Workflow, workflow_url: str) -> str:
    """Return what a run is called: the entry it runs, or the last part of its workflow's address."""
    match workflow:
        case CatalogueReference():
            return workflow.name
        case Files():
            address = workflow_url or workflow.source.entrypoint or workflow.archive or ""
            return address.rstrip("/").rpartition("/")[2] or "workflow"
        case _:
            assert_never(workflow)


def _only(attachments: Sequence[str]) -> Files:
    if len(attachments) != 1:
        raise _wrong(f"it is missing, and the attachments do not determine the main file; {_listed(attachments)}")
    (name,) = attachments
    return _unpacked(name, None) if _is_archive(name) else Files(SubmittedSource(entrypoint=name))


def _relative(workflow_url: str, attachments: Sequence[str]) -> Workflow:
    for written in (workflow_url, unquote(workflow_url)):
        name, _, inner = written.partition("#")
        for plain in (written.removeprefix("./"), name.removeprefix("./")):
            if plain in attachments:
                if _is_archive(plain):
                    return _unpacked(plain, inner or None)
                return Files(SubmittedSource(entrypoint=plain))
    archives = [attachment for attachment in attachments if _is_archive(attachment)]
    if len(archives) == 1:
        return _unpacked(archives[0], unquote(workflow_url).removeprefix("./"))
    if not attachments and is_token(workflow_url.partition("@")[0]):
        return _entry(workflow_url, attachments)
    raise _wrong(f"`{workflow_url[:200]}` is not attached; {_listed(attachments)}")


def _entry(text: str, attachments: Sequence[str]) -> CatalogueReference:
    if attachments:
        raise _wrong("a workflow of the catalogue takes no attachments; give what differs in `workflow_params`")
    name, _, version = text.partition("@")
    if not is_token(name):
        raise _wrong(f"an entry of the catalogue is named `{CATALOGUE}name` or `{CATALOGUE}name@version`")
    return CatalogueReference(name, version or None)


def _repository(address: str) -> SubmittedSource:
    """Take `https://host/repository@ref#path` apart."""
    try:
        url = urlsplit(address)
    except ValueError:
        raise _wrong("this is not a valid address") from None
    path, at, ref = url.path.rpartition("@")
    if not at:
        path, ref = url.path, ""
    query = f"?{url.query}" if url.query else ""
    return SubmittedSource(
        git=f"{url.scheme}://{url.netloc}{path}{query}", ref=ref or None, entrypoint=unquote(url.fragment) or None
    )


def _on_disk(workflow_url: str, roots: tuple[PurePosixPath, ...], engines: EngineRegistry) -> SubmittedSource:
    """Return the source that a `file://` address names: a folder when it ends with `/`, else the main file in one."""
    parts = urlsplit(workflow_url)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise _wrong("an address such as file:///data/workflows/Snakefile is expected")
    path = unquote(parts.path)
    is_folder = path.endswith("/")
    pure = PurePosixPath(path)
    submitted = (
        SubmittedSource(path=str(pure)) if is_folder else SubmittedSource(path=str(pure.parent), entrypoint=pure.name)
    )
    try:
        path_source(submitted, roots, engine=None, engines=engines)
    except InvalidSource as error:
        raise Invalid([replace(violation, pointer="workflow_url") for violation in error.violations]) from None
    return submitted


def _unpacked(archive: str, main: str | None) -> Files:
    return Files(SubmittedSource(entrypoint=main), archive)


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def _scheme(text: str) -> str:
    head, colon, _ = text.partition(":")
    is_scheme = bool(colon) and head[:1].isalpha() and all(item.isalnum() or item in "+-." for item in head)
    return head.lower() if is_scheme and head.isascii() and len(head) > 1 else ""


def _listed(attachments: Sequence[str]) -> str:
    if not attachments:
        return "there are no attachments (parts named workflow_attachment)"
    listed = ", ".join(f"`{name}`" for name in attachments[:10])
    return f"attached are {listed}" + (f" and {len(attachments) - 10} more" if len(attachments) > 10 else "")


def _wrong(detail: str) -> Invalid:
    return Invalid([Violation(pointer="workflow_url", detail=detail)])
