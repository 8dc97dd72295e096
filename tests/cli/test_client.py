"""The client against a scripted server, which does what the real one does only when something is broken."""

import json
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from penstock.client.client import Client
from penstock.client.downloads import MAX_BREAKS, TEXT_PIECE, Damaged
from penstock.client.job_lists import Ambiguous
from penstock.client.log_parts import LogPart
from penstock.client.transport import (
    FIRST_CONNECT_S,
    LAST_PAUSE_S,
    REACH_S,
    ClientError,
    RequestRefused,
    ResourceNotFound,
    Transport,
    Unreachable,
)
from penstock.terminal.connection import Format, refusal
from penstock.terminal.log_printing import print_stored
from penstock_gateway.http.problems import Invalid, problem_of
from penstock_schemas.api import JobSubmission, OutputEntry, Violation
from penstock_schemas.views import LogStream

JOB_ID = "0b9c1f4e-0000-4000-8000-000000000001"
PROBLEM = {
    "type": "about:blank",
    "title": "Invalid",
    "status": 422,
    "detail": "the request has mistakes",
    "errors": [
        {"pointer": "#/priority", "detail": "a whole number is expected"},
        {"pointer": "", "detail": "and more"},
    ],
}


def job(job_id: str = JOB_ID, state: str = "QUEUED") -> dict[str, Any]:
    status = {"QUEUED": "pending", "COMPLETED": "completed"}[state]
    nothing = dict.fromkeys(("description", "started_at", "completed_at", "error_message", "status_detail"))
    return nothing | {
        "id": job_id,
        "status": status,
        "state": state,
        "pipeline_name": "demo",
        "parameters": {},
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "engine": "mock",
        "owner": "anonymous",
        "labels": {},
        "priority": 0,
        "attempt": 0,
        "runner_id": None,
        "failure": None,
        "tasks": {"total": 0, "done": 0, "running": 0, "failed": 0},
        "output_files": 0,
        "output_bytes": 0,
        "seq": 1,
        "a_field_of_the_future": True,
    }


@dataclass
class Script:
    """Answers in order; the last one again and again. An answer of `None` breaks the connection."""

    answers: list[tuple[int, Any] | None]
    requests: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    breaks_off: bool = False
    """Whether bodies end before their end."""

    def next(self, method: str, path: str, body: Any) -> tuple[int, Any] | None:
        self.requests.append((method, path, body))
        return self.answers[min(len(self.requests), len(self.answers)) - 1]


@contextmanager
def scripted(*answers: tuple[int, Any] | None) -> Generator[Script]:
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            body = json.loads(raw) if raw.startswith(b"{") else raw or None
            answer = script.next(self.command, self.path, body)
            if answer is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            content = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(content)))
            for name, value in script.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[:-1] if script.breaks_off else content)
            self.close_connection = script.breaks_off

        do_POST = do_GET  # noqa: N815  # the base class looks for this name

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.client.transport.FIRST_PAUSE_S", 0.001)


@pytest.mark.parametrize("trouble", [None, (503, PROBLEM), (502, b"<html>")])
def test_a_submission_is_repeated_under_the_same_key(trouble: tuple[int, Any] | None) -> None:
    with scripted(trouble, (201, job())) as script, Client(script.url) as client:
        assert client.submit(JobSubmission(pipeline_name="demo")).id == JOB_ID
    first, second = (body for _, _, body in script.requests)
    assert first == second
    assert first["idempotency_key"]


def test_a_form_is_repeated_under_the_same_key(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text("rule all:")
    with scripted(None, (503, PROBLEM), (201, job())) as script, Client(script.url) as client:
        assert client.submit(JobSubmission(pipeline_name="demo"), {"Snakefile": tmp_path / "Snakefile"}).id == JOB_ID
    first, second, third = (body for _, _, body in script.requests)
    assert first == second == third
    assert b"idempotency_key" in first
    assert b"rule all:" in first


def test_a_key_that_was_given_is_kept() -> None:
    with scripted((201, job())) as script, Client(script.url) as client:
        client.submit(JobSubmission(pipeline_name="demo", idempotency_key="mine"))
    assert script.requests[0][2]["idempotency_key"] == "mine"


def test_it_gives_up_at_its_deadline() -> None:
    with scripted(None) as script, Client(script.url, deadline_s=0.2) as client:
        with pytest.raises(Unreachable, match="does not answer"):
            client.job(JOB_ID)
        assert len(script.requests) > 1


def test_a_server_that_stays_unable_is_quoted() -> None:
    with scripted((503, PROBLEM)) as script, Client(script.url, deadline_s=0.05) as client:
        with pytest.raises(RequestRefused, match="the request has mistakes") as caught:
            client.job(JOB_ID)
        assert caught.value.status == 503


def test_a_server_that_will_be_unable_for_longer_is_quoted_at_once() -> None:
    with scripted((503, PROBLEM)) as script, Client(script.url, deadline_s=30.0) as client:
        script.headers["Retry-After"] = "60"
        with pytest.raises(RequestRefused, match="the request has mistakes"):
            client.job(JOB_ID)
    assert len(script.requests) == 1


def test_a_refusal_names_every_violation_and_is_not_repeated() -> None:
    with scripted((422, PROBLEM)) as script, Client(script.url) as client:
        with pytest.raises(RequestRefused) as caught:
            client.submit(JobSubmission(pipeline_name="demo"))
        assert len(script.requests) == 1
    assert refusal(caught.value).splitlines() == [
        "the request has mistakes:",
        "  a whole number is expected (in priority)",
        "  and more",
    ]


@pytest.mark.parametrize(
    ("violations", "lines"),
    [
        ([("#/priority", "a whole number")], ["a whole number (in priority)"]),
        ([("#/parameters/a~1b", "a text")], ["a text (in parameters.a/b)"]),
        ([("limit", "a number")], ["a number (in limit)"]),
        ([("#", "no JSON: at byte 7")], ["no JSON: at byte 7"]),
        ([("#/source", "syntax error in Snakefile, line 2")], ["syntax error in Snakefile, line 2"]),
        (
            [("#/a", "no: never"), ("#/b", "nor this")],
            ["2 faults:", "  no: never (in a)", "  nor this (in b)"],
        ),
    ],
)
def test_the_text_of_a_refusal_is_printed_once(violations: list[tuple[str, str]], lines: list[str]) -> None:
    problem = problem_of(Invalid([Violation(pointer=where, detail=detail) for where, detail in violations]))
    assert refusal(RequestRefused(422, problem, "http://server")).splitlines() == lines


@pytest.mark.parametrize("body", [b"<html>hello</html>", {"something": "else"}])
def test_another_kind_of_server_is_recognized(body: Any) -> None:
    with (
        scripted((200, body)) as script,
        Client(script.url) as client,
        pytest.raises(ClientError, match="is it a Penstock server of this version"),
    ):
        client.job(JOB_ID)


def test_an_error_without_a_problem_document_is_still_reported() -> None:
    with scripted((404, b"nginx")) as script, Client(script.url) as client:
        with pytest.raises(ResourceNotFound) as caught:
            client.job(JOB_ID)
        assert refusal(caught.value).startswith("the server answered 404 without a reason")


@pytest.mark.parametrize(
    ("ids", "prefix", "outcome"),
    [
        (["abc1", "abd1"], "abc", "abc1"),
        (["abc1", "abd1"], "ABD", "abd1"),
        (["abc1", "abd1"], "ab", Ambiguous),
        (["abc1"], "x", ResourceNotFound),
        (["abc1"], "", ResourceNotFound),
        ([], JOB_ID, JOB_ID),
    ],
)
def test_short_ids(ids: list[str], prefix: str, outcome: str | type[Exception]) -> None:
    page = {"jobs": [job(item) for item in ids], "total": len(ids), "next_cursor": None}
    with scripted((200, page)) as script, Client(script.url) as client:
        if isinstance(outcome, str):
            assert client.find(prefix) == outcome
        else:
            with pytest.raises(outcome):
                client.find(prefix)


def test_every_page_of_a_list_is_read() -> None:
    pages = (
        (200, {"jobs": [job("a"), job("b")], "total": 3, "next_cursor": "more"}),
        (200, {"jobs": [job("c")], "total": 3, "next_cursor": None}),
    )
    with scripted(*pages) as script, Client(script.url) as client:
        assert [one_job.id for one_job in client.jobs(labels={"x": "1", "y": None}, pipeline="p")] == ["a", "b", "c"]
    assert script.requests[0][1] == "/jobs?pipeline=p&label=x%3A1&label=y&limit=1000"
    assert script.requests[1][1].endswith("&cursor=more")


def test_as_many_jobs_are_requested_as_are_wanted() -> None:
    answers = (
        (200, {"jobs": [job("a"), job("b")], "total": 9, "next_cursor": "more"}),
        (200, {"jobs": [job("c")], "total": 9, "next_cursor": "further"}),
    )
    with scripted(*answers) as script, Client(script.url) as client:
        pages = list(client.pages(limit=3, owner="ada"))
    assert [one_job.id for page in pages for one_job in page.jobs] == ["a", "b", "c"]
    assert pages[-1].next_cursor == "further"
    assert [request[1] for request in script.requests] == [
        "/jobs?owner=ada&limit=3",
        "/jobs?owner=ada&limit=1&cursor=more",
    ]


def entry(url: str, content: bytes) -> Callable[[str], OutputEntry]:
    return lambda sha256: OutputEntry(path="a.txt", size_bytes=len(content), sha256=sha256, url=url)


def test_a_download_is_checked(tmp_path: Path) -> None:
    made = entry("/jobs/x/outputs/a.txt", b"hello")
    with scripted((200, b"hello")) as script, Client(script.url) as client:
        client.download(made("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"), tmp_path / "a.txt")
        assert (tmp_path / "a.txt").read_bytes() == b"hello"
        with pytest.raises(Damaged):
            client.download(made("0" * 64), tmp_path / "b.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


PART = LogPart(title="one", path="/jobs/x/tasks/t/stdout", stream=LogStream.STDOUT)


def test_a_stored_log_goes_on_where_it_broke_off() -> None:
    text = bytes(range(256)) * (5 * TEXT_PIECE // 512)
    with scripted((200, text), (206, text[2 * TEXT_PIECE :])) as script, Client(script.url) as client:
        script.breaks_off = True
        chunks = client.stored_log(PART)
        first = next(chunks)
        script.breaks_off = False
        assert first + b"".join(chunks) == text
    assert [path for _, path, _ in script.requests] == [PART.path, PART.path]


@pytest.mark.parametrize("is_certain", [True, False])
def test_a_log_that_is_not_there_is_an_error_only_when_it_was_reported(is_certain: bool) -> None:
    part = structs.replace(PART, is_certain=is_certain)
    with scripted((404, PROBLEM), (200, b"text")) as script, Client(script.url) as client:
        if is_certain:
            with pytest.raises(ResourceNotFound):
                print_stored(client, [part, PART], Format.JSONL)
        else:
            print_stored(client, [part, PART], Format.JSONL)
            assert len(script.requests) == 2


def test_a_stored_log_that_always_breaks_off_is_given_up() -> None:
    with scripted((200, b"text")) as script, Client(script.url) as client:
        script.breaks_off = True
        with pytest.raises(Damaged, match="the log broke off after"):
            list(client.stored_log(PART))
        assert len(script.requests) == MAX_BREAKS + 1


def test_a_download_that_breaks_off_is_reported(tmp_path: Path) -> None:
    with scripted((200, b"hello")) as script, Client(script.url) as client:
        script.breaks_off = True
        with pytest.raises(Damaged, match=r"a\.txt was cut off before its end .* contact an operator"):
            client.download(entry("/jobs/x/outputs/a.txt", b"hello")("0" * 64), tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_download_stays_on_its_server(tmp_path: Path) -> None:
    with scripted((200, b"")) as script, Client(script.url) as client:
        with pytest.raises(ClientError, match="another server"):
            client.download(entry("http://192.0.2.1/x", b"")("0" * 64), tmp_path / "a.txt")
        assert script.requests == []


def test_waiting_has_an_end() -> None:
    nothing: list[Any] = []
    page = (200, {"events": nothing, "next_after": 1, "done": False})
    with scripted(page) as script, Client(script.url) as client, pytest.raises(TimeoutError):
        client.wait(JOB_ID, timeout_s=0.05)


def test_readiness_is_requested_once_and_read_when_it_is_bad() -> None:
    with scripted((503, {"ready": False, "reasons": ["no log"]})) as script, Client(script.url) as client:
        assert client.server.readiness().reasons == ["no log"]
        assert len(script.requests) == 1


def _refused_address() -> str:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{holder.getsockname()[1]}"


@contextmanager
def _silent_address() -> Generator[str]:
    """Give the address of a socket whose queue of connections is full: the kernel drops further ones unanswered."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        fillers: list[socket.socket] = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(address)
                fillers.append(filler)
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            for one_filler in fillers:
                one_filler.close()


class _Piece:
    content_type = "text/plain"
    size_bytes = 1

    def __iter__(self) -> Iterator[bytes]:
        yield b"x"


@pytest.mark.slow
@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("is_silent", [False, True])
def test_a_server_that_was_never_reached_is_given_up_early(is_silent: bool, is_stream: bool) -> None:
    """The deadline of the request is far longer, and every clock here is the transport's own."""
    with _silent_address() if is_silent else nullcontext(_refused_address()) as url:
        transport = Transport(url, deadline_s=600.0, authorization=None)
        begun = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            transport.repeat("POST", url + "/jobs", _Piece() if is_stream else None, 0.0)
        assert not caught.value.is_connected
        assert time.monotonic() - begun < 60.0, "far less than the deadline, on a loaded machine too"
    assert FIRST_CONNECT_S <= REACH_S < 3.0


@pytest.mark.slow
def test_a_server_that_was_reached_is_waited_for_until_the_deadline() -> None:
    with scripted((200, {"message": "x"})) as script:
        transport = Transport(script.url, deadline_s=REACH_S + LAST_PAUSE_S + 0.1, authorization=None)
        transport.repeat("GET", script.url, None, 0.0)
    transport.close()  # a connection that is kept would still be answered
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        transport.repeat("GET", script.url, None, 0.0)
    assert time.monotonic() - begun > REACH_S
