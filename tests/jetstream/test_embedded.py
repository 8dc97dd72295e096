"""The embedded server starts and stops, and its failures have a clear reason."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from tests.jetstream.servers import DEADLINE_S, own_server

from penstock_jetstream import NatsSettings, connect
from penstock_jetstream.server import embedded
from penstock_jetstream.server.embedded import EmbeddedServer, EmbeddedServerError
from penstock_testing.events import new_aggregate, submission


@pytest.mark.system
async def test_it_keeps_everything_over_a_restart(tmp_path: Path) -> None:
    aggregate = new_aggregate()
    async with own_server(tmp_path) as server, connect(NatsSettings(url=server.url)) as cluster:
        (stored,) = await cluster.log.append([submission(aggregate)])
    async with own_server(tmp_path) as server, connect(NatsSettings(url=server.url)) as cluster:
        assert await cluster.log.load(aggregate) == (stored,)
        status = await cluster.status()
    assert status.messages == status.last_seq == 1
    assert status.replicas == 1


@pytest.mark.system
async def test_its_process_ends_with_it(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    await server.start()
    pid = server.pid
    assert pid is not None
    assert os.getsid(pid) == pid, "it has its own session"
    await server.stop()
    assert server.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await server.stop()


@pytest.mark.system
async def test_a_waiting_task_learns_that_it_ended(tmp_path: Path) -> None:
    async with own_server(tmp_path) as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        with anyio.fail_after(DEADLINE_S):
            assert await server.wait() == -signal.SIGKILL
        await server.start()
        assert server.pid is not None


@pytest.mark.system
async def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, anyio; from pathlib import Path; from penstock_jetstream.server.embedded import EmbeddedServer\n"
        "async def main():\n"
        "    server = EmbeddedServer(Path(sys.argv[1])); await server.start(); print(server.pid, flush=True)\n"
        "    await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    with subprocess.Popen(  # noqa: ASYNC220  # its output is read once
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    ) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) > 0
        parent.kill()
    async with own_server(tmp_path) as server:  # the folder is free only once both are gone
        assert server.pid is not None


@pytest.mark.system
async def test_a_second_server_on_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOCK_WAIT_S", 0.05)
    async with own_server(tmp_path):
        with pytest.raises(EmbeddedServerError, match="another nats-server uses"):
            await EmbeddedServer(tmp_path).start()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedServerError, match=f"port {port}"):
            await EmbeddedServer(tmp_path, port=port).start()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedServerError, match="choose a folder"):
        await EmbeddedServer(tmp_path / "file").start()


@pytest.mark.system
async def test_the_output_of_the_server_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"(?s)ended with code 1; its last output:.*no_such_option"):
        await EmbeddedServer(tmp_path, extra="no_such_option: 7").start()
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(EmbeddedServerError, match=r"(?s)its last output:.*storage directory"):
        await EmbeddedServer(tmp_path).start()


async def test_a_missing_program_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedServerError, match="pip install"):
        await EmbeddedServer(tmp_path).start()
