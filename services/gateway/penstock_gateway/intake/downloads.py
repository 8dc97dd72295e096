"""Files from addresses: each redirect is checked anew, and the connection goes to the address that was checked."""

import time
from typing import Final
from urllib.parse import urljoin

import anyio
import urllib3
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from penstock_gateway.intake.addresses import SourceHosts, Target, check_url, resolve
from penstock_gateway.intake.limits import (
    FETCH_DEADLINE_S,
    MAX_FETCHED_BYTES,
    MAX_REDIRECTS,
    PIECE_BYTES,
    SourceUnfit,
)

STEP_S: Final = 10.0
"""One connection, or one read."""
_REDIRECTS: Final = (301, 302, 303, 307, 308)


async def download(address: str, allowed: SourceHosts, *, max_bytes: int = MAX_FETCHED_BYTES) -> bytes:
    """Return what is behind an address.

    Raises:
        SourceUnfit: it may not be fetched, is not there, or is too large.

    """
    ends = time.monotonic() + FETCH_DEADLINE_S
    for _ in range(MAX_REDIRECTS + 1):
        target = await resolve(check_url(address, allowed), allowed)
        answer = await anyio.to_thread.run_sync(_get, target, ends, max_bytes, abandon_on_cancel=True)
        if isinstance(answer, bytes):
            return answer
        following = urljoin(address, answer)
        if address.startswith("https:") and not following.startswith("https:"):
            raise SourceUnfit(f"{target.shown} leads to an address that is not https")
        address = following
    raise SourceUnfit(f"more than {MAX_REDIRECTS} redirects follow one another")


def _get(target: Target, ends: float, max_bytes: int) -> bytes | str:
    """Ask one server; return the content, or where it redirects to."""
    path = target.url.path or "/"
    headers = {
        "Host": target.url.netloc,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": "penstock",
    }
    timeout = urllib3.Timeout(connect=STEP_S, read=STEP_S)
    answer: urllib3.BaseHTTPResponse | None = None
    with _pool(target) as pool:
        try:
            answer = pool.urlopen(
                "GET",
                f"{path}?{target.url.query}" if target.url.query else path,
                headers=headers,
                redirect=False,
                retries=False,
                timeout=timeout,
                preload_content=False,
                decode_content=False,
            )
            if answer.status in _REDIRECTS and answer.headers.get("Location"):
                return answer.headers["Location"]
            if answer.status != 200:
                raise SourceUnfit(f"{target.shown} answered {answer.status}")
            return _read(answer, target, ends, max_bytes)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceUnfit(f"{target.shown} cannot be fetched: {type(error).__name__}") from None
        finally:
            if answer is not None:
                answer.close()


def _pool(target: Target) -> HTTPConnectionPool:
    if target.url.scheme == "https":
        return HTTPSConnectionPool(
            target.address,
            target.port,
            server_hostname=target.host,
            assert_hostname=target.host,
            cert_reqs="CERT_REQUIRED",
        )
    return HTTPConnectionPool(target.address, target.port)


def _read(answer: urllib3.BaseHTTPResponse, target: Target, ends: float, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size_bytes = 0
    while piece := answer.read1(PIECE_BYTES, decode_content=False):
        size_bytes += len(piece)
        if size_bytes > max_bytes:
            raise SourceUnfit(f"{target.shown} has more than {max_bytes:,} bytes; it was not read further")
        if time.monotonic() > ends:
            raise SourceUnfit(f"{target.shown} took longer than {FETCH_DEADLINE_S:.0f} s")
        pieces.append(piece)
    announced = answer.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) != size_bytes:
        raise SourceUnfit(f"{target.shown} broke off after {size_bytes:,} of {announced} bytes")
    return b"".join(pieces)
