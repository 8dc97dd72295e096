"""Checks of settings that belong together, and what is read from several of them."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final

from penstock_gateway.catalogue.presets import read_presets
from penstock_gateway.http.connections import ConnectionLimits, room_for
from penstock_gateway.settings import GatewaySettings
from penstock_runtime.storage_variables import with_storage_names
from penstock_schemas.access import AuthMethod
from penstock_sources.egress.settings import fetching_mistakes

_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_OWN_PATHS: Final = (
    "/jobs",
    "/pipelines",
    "/tokens",
    "/docs",
    "/health",
    "/healthz",
    "/readyz",
    "/version",
    "/openapi.json",
    "/redoc",
)


def with_other_names(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return `environ` with the names and values of other servers replaced by our own.

    Raises:
        BadSettings: as `with_storage_names`.

    """
    named = with_storage_names(environ)
    is_openid = named.get("AUTH_METHOD", "").strip().lower() == "oauth2"
    return {**named, "AUTH_METHOD": AuthMethod.OIDC.value} if is_openid else named


def mistakes(settings: GatewaySettings) -> tuple[str, ...]:
    """Return what is wrong with settings that are right one by one."""
    return (
        *(
            f"PENSTOCK_SOURCE_ROOTS holds '{root}': expected absolute paths without `..`"
            for root in settings.source_roots
            if not root.is_absolute() or ".." in root.parts
        ),
        *(
            ["PENSTOCK_SWEEP_AFTER_DAYS is 1: expected 0 or at least 2, for the submissions of a day share their files"]
            if settings.sweep_after_days == 1
            else []
        ),
        *_file_mistakes(settings),
        *_wes_mistakes(settings),
    )


def connection_limits(settings: GatewaySettings) -> ConnectionLimits:
    """Return how many connections there may be."""
    return ConnectionLimits(
        maximum=room_for(settings.max_connections),
        maximum_per_address=settings.max_connections_per_address,
        trusted_proxies=frozenset(settings.trusted_proxies),
    )


def _file_mistakes(settings: GatewaySettings) -> Iterator[str]:
    yield from fetching_mistakes(settings)
    if settings.presets_file is not None:
        try:
            read_presets(settings.presets_file)
        except ValueError as error:
            yield f"PENSTOCK_PRESETS_FILE is {settings.presets_file}: {error}"
    if settings.catalogue_dir is not None and not settings.catalogue_dir.is_dir():
        yield f"PENSTOCK_CATALOGUE_DIR is {settings.catalogue_dir}: expected a folder whose subfolders are workflows"
    for address in settings.trusted_proxies:
        try:
            ip_address(address)
        except ValueError:
            yield f"PENSTOCK_TRUSTED_PROXIES holds '{address}': expected IP addresses, as connections come from"


def _wes_mistakes(settings: GatewaySettings) -> Iterator[str]:
    prefix = settings.wes_prefix
    if not _PREFIX.fullmatch(prefix) or any(prefix == path or prefix.startswith(path + "/") for path in _OWN_PATHS):
        yield f"PENSTOCK_WES_PREFIX is '{prefix}': expected a path such as /ga4gh/wes/v1 that is not the server's own"
    if settings.public_url and not settings.public_url.startswith(("http://", "https://")):
        yield f"PENSTOCK_PUBLIC_URL is '{settings.public_url}': expected an address with http:// or https://"
    for tag in settings.service_tags:
        if not tag.partition("=")[1]:
            yield f"PENSTOCK_SERVICE_TAGS holds '{tag}': expected name=value"
