"""The settings of a service that fetches from other hosts, and what follows from them."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from penstock_jetstream.settings import ServiceSettings
from penstock_runtime.setting_files import read_setting_file
from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.egress.credentials import parse_credentials, read_credentials


class FetchingServiceSettings(ServiceSettings, frozen=True, kw_only=True):
    """From where, and with which names and passwords, a service fetches."""

    source_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts that workflows may be fetched from, by git and http: `example.org`, `*.example.org`, or "
            "either with `:port`. None: nothing is fetched."
        ),
    ] = ()
    source_allow_private: Annotated[
        bool,
        Meta(
            description="UNSAFE: also fetch from addresses that are not public. A submitter can then reach what "
            "only this machine or its network can."
        ),
    ] = False
    source_ca_file: Annotated[
        Path | None,
        Meta(
            description="Certificates (PEM) that are trusted in place of the system's where workflows are fetched from."
        ),
    ] = None
    source_credentials: Annotated[
        str,
        Meta(
            description="Names and tokens for repositories and files that are not public: `https://name:token@host/path`"
            ", several with commas between; each is used below its address alone. All submitters can use them.",
            extra={"secret": True},
        ),
    ] = ""
    source_credentials_file: Annotated[
        Path | None, Meta(description="A file of further ones, one a line; `#` begins a comment.")
    ] = None


def source_hosts(settings: FetchingServiceSettings) -> SourceHosts:
    """Return where workflows may be fetched from.

    Raises:
        ValueError: the credentials cannot be read.

    """
    path = settings.source_credentials_file
    return SourceHosts(
        hosts=settings.source_hosts,
        allows_private=settings.source_allow_private,
        ca_file=None if settings.source_ca_file is None else settings.source_ca_file.absolute(),
        credentials=(
            *parse_credentials(settings.source_credentials),
            *(() if path is None else read_credentials(path)),
        ),
    )


def fetching_mistakes(settings: FetchingServiceSettings) -> Iterator[str]:
    """Yield what is wrong with the files that settings name, and with what is in them."""
    try:
        parse_credentials(settings.source_credentials)
    except ValueError as error:
        yield f"PENSTOCK_SOURCE_CREDENTIALS is not valid: {error}"
    path, certificates = settings.source_credentials_file, settings.source_ca_file
    if path is not None:
        try:
            read_credentials(path)
        except ValueError as error:
            yield f"PENSTOCK_SOURCE_CREDENTIALS_FILE is {path}: {error}"
    if certificates is not None:
        try:
            read_setting_file(certificates)  # the library would wait for a FIFO
            ssl.create_default_context(cafile=str(certificates))
        except OSError as error:  # ssl.SSLError is one
            yield f"PENSTOCK_SOURCE_CA_FILE is {certificates}: it contains no readable certificates ({error})"
