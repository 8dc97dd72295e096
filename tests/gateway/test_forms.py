"""multipart/form-data, read as it comes."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_gateway.http.bodies.multipart import MAX_HEADER_BYTES, FormLimits, MultipartForm
from penstock_gateway.http.problems import BodyTooLarge, Invalid, UnsupportedMediaType
from penstock_gateway.http.requests import ClientGone, Request, is_form

LIMITS = FormLimits(max_bytes=1 << 20, max_parts=5, max_field_bytes=1000)
PARTS = [("job", None, b'{"pipeline_name": "p"}'), ("files", "a/b.txt", b"one\r\n--two\r\n"), ("files", "c", b"")]


def body_of(parts: Iterable[tuple[str, str | None, bytes]], boundary: str = "cut") -> bytes:
    body = b""
    for name, filename, content in parts:
        named = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
        body += f"--{boundary}\r\nContent-Disposition: {named}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def request_of(
    chunks: Sequence[bytes], *, content_type: str = "multipart/form-data; boundary=cut", is_whole: bool = True
) -> Request:
    """A request whose body comes in these pieces; then it ends, or the client goes away."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting[-1]["more_body"] = not is_whole

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", content_type.encode())]}
    return Request(cast("Any", scope), receive)


async def parts_of(request: Request, limits: FormLimits = LIMITS) -> list[tuple[str, str | None, bytes]]:
    form = MultipartForm(request, limits)
    found: list[tuple[str, str | None, bytes]] = []
    while (part := await form.next_part()) is not None:
        found.append((part.name, part.filename, await part.read()))
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 250), max_size=12))
async def test_parts_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    body = body_of(PARTS)
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in itertools.pairwise(places)]
    assert await parts_of(request_of(chunks)) == PARTS


async def test_what_is_not_read_of_a_part_is_skipped() -> None:
    form = MultipartForm(request_of([body_of(PARTS)]), LIMITS)
    names: list[str] = []
    while (part := await form.next_part()) is not None:
        names.append(part.filename or part.name)
    assert names == ["job", "a/b.txt", "c"]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([("x", None, b"")] * 6, id="too many parts"),
        pytest.param([("x", None, b"." * 1001)], id="a field too large"),
        pytest.param([("x", "." * (MAX_HEADER_BYTES + 1), b"")], id="a header too long"),
        pytest.param([("x", None, bytes(1 << 20))], id="a body too large"),
    ],
)
async def test_what_exceeds_a_bound_is_too_large(parts: list[tuple[str, str | None, bytes]]) -> None:
    with pytest.raises(BodyTooLarge, match=r"more than|exceeds"):
        await parts_of(request_of([body_of(parts)]))


@pytest.mark.parametrize(
    "body",
    [b"", b"--cut", b"no form at all", body_of(PARTS)[:-5], b"--cut\r\nX: y\r\n\r\n--cut--\r\n", b"--cut\r\n\xff\r\n"],
)
async def test_a_malformed_form_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid, match="form-data"):
        await parts_of(request_of([body]))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
async def test_no_bytes_break_the_reader(noise: bytes) -> None:
    with pytest.raises((Invalid, BodyTooLarge)):
        await parts_of(request_of([b"--cut\r\n" + noise]))


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 300])
async def test_a_form_needs_a_boundary(content_type: str) -> None:
    with pytest.raises(Invalid, match="boundary"):
        MultipartForm(request_of([b""], content_type=content_type), LIMITS)


async def test_only_a_form_is_read() -> None:
    request = request_of([b"{}"], content_type="application/json")
    assert not is_form(request)
    with pytest.raises(UnsupportedMediaType, match="application/json"):
        MultipartForm(request, LIMITS)


async def test_a_client_that_goes_away_is_noticed() -> None:
    request = request_of([body_of(PARTS)[:120]], is_whole=False)
    with pytest.raises(ClientGone):
        await parts_of(request)
