"""The absolute addresses that answers hold."""

from collections.abc import Collection
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from penstock_gateway.http.requests import Request

_DEFAULT_HOST: Final = "localhost"


class Addresses(Struct, frozen=True):
    """Makes addresses of what belongs to runs.

    Args:
        root: the server's own address, without a final `/`.
        prefix: the path of WES on it.

    """

    root: str
    prefix: str

    @property
    def base(self) -> str:
        """The address of WES."""
        return self.root + self.prefix

    @property
    def docs(self) -> str:
        """The address of the server's documentation."""
        return self.root + "/docs"

    def tasks(self, run_id: str) -> str:
        """Return the address of a run's tasks."""
        return f"{self.base}/runs/{run_id}/tasks"

    def run_log(self, run_id: str, stream: str) -> str:
        """Return the address of what a run's engine wrote."""
        return f"{self.base}/runs/{run_id}/logs/{stream}"

    def task_log(self, run_id: str, task_id: str, stream: str) -> str:
        """Return the address of what a task wrote."""
        return f"{self.base}/runs/{run_id}/tasks/{quote(task_id, safe='')}/logs/{stream}"

    def output(self, run_id: str, path: str) -> str:
        """Return the address of a file that a run produced."""
        return f"{self.base}/runs/{run_id}/outputs/{quote(path)}"


def root_of(request: Request, *, public_url: str, trusted_proxies: Collection[str]) -> str:
    """Return the address under which a client reached this server.

    Args:
        request: of the client.
        public_url: the setting, which takes precedence; empty: not set.
        trusted_proxies: who is believed when it sets `X-Forwarded-Host` and `X-Forwarded-Proto`.

    """
    if public_url:
        return public_url.rstrip("/")
    scheme, host = str(request.scope["scheme"]), request.headers.get("host")
    client = request.scope["client"]
    if client is not None and client[0] in trusted_proxies:
        scheme = _first(request.headers.get("x-forwarded-proto")) or scheme
        host = _first(request.headers.get("x-forwarded-host")) or host
    host = host if host and _is_plain(host) else _host_of(request)
    return f"{scheme if scheme in ('http', 'https') else 'http'}://{host}"


def _first(header: str | None) -> str:
    return (header or "").partition(",")[0].strip()


def _is_plain(host: str) -> bool:
    """Return whether a header contains a host, and nothing that would change an address otherwise."""
    return all(char.isascii() and (char.isalnum() or char in "-._:[]") for char in host)


def _host_of(request: Request) -> str:
    server = request.scope["server"]
    if server is None:
        return _DEFAULT_HOST
    host, port = server
    formatted = f"[{host}]" if ":" in host else host
    return formatted if port is None else f"{formatted}:{port}"
