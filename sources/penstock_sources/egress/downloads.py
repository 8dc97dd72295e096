"""Files from addresses: each redirect is checked again, and the connection goes to the address that was checked."""

import ssl
from typing import BinaryIO, Final
from urllib.parse import urljoin, urlsplit

import anyio
import urllib3
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_match_hostname import CertificateError

from penstock_runtime.runtime import SYSTEM
from penstock_sources.egress.addresses import SourceHosts, Target, check_url, resolve
from penstock_sources.egress.credentials import NEEDS_CREDENTIALS
from penstock_sources.egress.failures import FetchFailed
from penstock_sources.egress.file_writing import write_chunk
from penstock_sources.egress.limits import CHUNK_BYTES, FETCH_DEADLINE_S, MAX_REDIRECTS

STEP_S: Final = 10.0
"""One connection, or one read."""
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MISSING: Final = (404, 410)
_BUSY: Final = (408, 425, 429)
"""The host may answer later."""
_UNTRUSTED: Final = "its certificate is not trusted"


async def download(address: str, allowed: SourceHosts, file: BinaryIO, *, max_bytes: int) -> None:
    """Write what is behind an address into a file.

    Raises:
        FetchFailed: it may not be fetched, is not there, or is too large.
        Unavailable: the disk does not take it.

    """
    ends = SYSTEM.monotonic() + FETCH_DEADLINE_S
    for _ in range(MAX_REDIRECTS + 1):
        target = await resolve(check_url(address, allowed), allowed)
        moved = await anyio.to_thread.run_sync(_get, target, ends, file, max_bytes, abandon_on_cancel=True)
        if moved is None:
            return
        try:
            following = urljoin(address, moved)
            is_safe = urlsplit(following).scheme == "https" or target.url.scheme != "https"
        except ValueError:
            raise FetchFailed(f"{target.display_url} leads to what is no address") from None
        if not is_safe:
            raise FetchFailed(f"{target.display_url} leads to an address that is not https")
        address = following
    raise FetchFailed(f"more than {MAX_REDIRECTS} redirects follow one another")


def _get(target: Target, ends: float, file: BinaryIO, max_bytes: int) -> str | None:
    """Request the address from one server and write the content; or return where it redirects to."""
    path = target.url.path or "/"
    headers = {
        "Host": target.url.netloc,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": "penstock",
    }
    if target.authorization is not None:
        headers["Authorization"] = target.authorization
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
                raise FetchFailed(
                    f"{target.display_url} answered {answer.status}{_hint(answer.status)}",
                    is_missing=answer.status in _MISSING,
                    may_retry=answer.status in _BUSY or answer.status >= 500,
                )
            _write(answer, target, ends, file, max_bytes)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = _reason(error)
            raise FetchFailed(
                f"{target.display_url} cannot be fetched: {reason}", may_retry=not reason.startswith(_UNTRUSTED)
            ) from None
        else:
            return None
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
            ca_certs=None if target.ca_file is None else str(target.ca_file),
        )
    return HTTPConnectionPool(target.address, target.port)


def _write(answer: urllib3.BaseHTTPResponse, target: Target, ends: float, file: BinaryIO, max_bytes: int) -> None:
    size_bytes = 0
    while piece := answer.read1(CHUNK_BYTES, decode_content=False):
        size_bytes += len(piece)
        if size_bytes > max_bytes:
            raise FetchFailed(f"{target.display_url} has more than {max_bytes:,} bytes; it was not read further")
        if SYSTEM.monotonic() > ends:
            raise FetchFailed(f"{target.display_url} took longer than {FETCH_DEADLINE_S:.0f} s", may_retry=True)
        write_chunk(file, piece)
    announced = answer.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) != size_bytes:
        raise FetchFailed(f"{target.display_url} broke off after {size_bytes:,} of {announced} bytes", may_retry=True)


def _hint(status: int) -> str:
    if status in (401, 403):
        return f"; {NEEDS_CREDENTIALS}"
    return "; it does not exist, or is not public" if status == 404 else ""


def _reason(error: Exception) -> str:
    """Return why a connection failed, in words that hold nothing of what was sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{_UNTRUSTED}: {cause.verify_message.rstrip('.')}"
        if isinstance(cause, CertificateError):
            return f"{_UNTRUSTED}: {cause}"
        cause = cause.args[0] if cause.args and isinstance(cause.args[0], BaseException) else cause.__context__
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "nobody listens there"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return f"nothing came for {STEP_S:.0f} s"
    return type(error).__name__
