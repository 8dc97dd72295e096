"""Liveness: reported while the loop turns and duties make progress, and not otherwise."""

import os
import socket
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from penstock_runtime import liveness as module
from penstock_runtime.liveness import Liveness, UnusableLivenessAddress, parse_address, reported


class Clock:
    """Seconds that pass when the test wants it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.01)


def test_a_duty_without_progress_is_named() -> None:
    clock = Clock()
    liveness = Liveness(clock=clock)
    assert liveness.reasons() == []
    liveness.progress("scheduling", within_s=60)
    clock.now += 60
    assert liveness.reasons() == []
    clock.now += 1
    assert liveness.reasons() == ["scheduling made no progress for 61 s"]
    liveness.progress("scheduling", within_s=60)
    assert liveness.reasons() == []
    clock.now += 61
    liveness.end("scheduling")
    assert liveness.reasons() == []


async def test_a_pipe_is_written_to_and_workflows_do_not_learn_of_it() -> None:
    read, written = os.pipe()
    environ = {"PENSTOCK_WATCHDOG_FD": str(written), "OTHER": "1"}
    async with reported(Liveness(), environ=environ):
        assert environ == {"OTHER": "1"}
        assert not os.get_inheritable(written)
        with anyio.fail_after(10):
            assert await anyio.to_thread.run_sync(os.read, read, 1) == b"."
    while os.read(read, 100):
        pass  # until its other end is closed
    os.close(read)


async def test_a_full_pipe_holds_nothing_up() -> None:
    read, written = os.pipe()
    os.set_blocking(written, False)
    with suppress(BlockingIOError):
        while os.write(written, bytes(65536)):
            pass
    async with reported(Liveness(), environ={"PENSTOCK_WATCHDOG_FD": str(written)}):
        await anyio.sleep(0.05)
    os.close(read)


async def test_systemd_is_notified(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(10)
        environ = {"NOTIFY_SOCKET": str(path)}
        async with reported(Liveness(), environ=environ):
            assert environ == {}
            assert await anyio.to_thread.run_sync(systemd.recv, 100) == b"READY=1"
            assert await anyio.to_thread.run_sync(systemd.recv, 100) == b"WATCHDOG=1"


async def test_it_answers_over_http(free_port: int) -> None:
    clock = Clock()
    liveness = Liveness(clock=clock)
    async with reported(liveness, f"127.0.0.1:{free_port}", environ={}):
        assert (await request(free_port)).startswith("HTTP/1.1 200 OK")
        liveness.progress("scheduling", within_s=60)
        clock.now += 100
        answer = await request(free_port)
        assert answer.startswith("HTTP/1.1 503")
        assert answer.endswith("scheduling made no progress for 100 s\n")
        async with await anyio.connect_tcp("127.0.0.1", free_port):
            pass  # a connection without a request does no harm
        assert (await request(free_port)).startswith("HTTP/1.1 503")


async def test_a_hung_duty_is_not_reported_as_well() -> None:
    clock = Clock()
    liveness = Liveness(clock=clock)
    liveness.progress("scheduling", within_s=60)
    clock.now += 61
    read, written = os.pipe()
    os.set_blocking(read, False)
    async with reported(liveness, environ={"PENSTOCK_WATCHDOG_FD": str(written)}):
        await anyio.sleep(0.05)
        with pytest.raises(BlockingIOError):
            os.read(read, 1)
        liveness.progress("scheduling", within_s=60)
        with anyio.fail_after(10):
            await anyio.wait_readable(read)
    os.close(read)


async def test_an_address_that_is_taken_is_a_clear_error(free_port: int) -> None:
    with (
        socket.create_server(("127.0.0.1", free_port)),
        pytest.raises(UnusableLivenessAddress, match="cannot listen there"),
    ):
        async with reported(Liveness(), f"127.0.0.1:{free_port}", environ={}):
            pass


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1", ":", "host:0", "host:65536", "host:-1", "host:8\n"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # the reader of the setting reports what is expected
        parse_address(text)


def test_addresses() -> None:
    assert parse_address("127.0.0.1:8081") == ("127.0.0.1", 8081)
    assert parse_address("[::1]:8081") == ("::1", 8081)
    assert parse_address(":8081") == ("127.0.0.1", 8081)


async def test_what_the_block_raises_stays_itself() -> None:
    with pytest.raises(KeyError):
        async with reported(Liveness(), environ={}):
            raise KeyError


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


async def request(port: int) -> str:
    received = b""
    with anyio.fail_after(10):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            async for piece in stream:
                received += piece
    return received.decode()
