"""What a supervisor sends on its lifeline is received as a report, or as its end."""

import socket
from collections.abc import Generator

import anyio
import pytest

from penstock_execution.processes.supervision_messages import Started, encode_report
from penstock_execution.processes.supervisor_reports import next_report

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Generator[Ends]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def test_a_report_is_received_when_it_comes(ends: Ends) -> None:
    ours, theirs = ends
    received: list[object] = []

    async def receive() -> None:
        received.append(await next_report(ours))

    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        assert received == []
        theirs.send(encode_report(Started(pid=7)))
    assert received == [Started(pid=7)]


async def test_a_supervisor_that_is_gone_reports_nothing(ends: Ends) -> None:
    ours, theirs = ends
    theirs.close()
    assert await next_report(ours) is None


async def test_what_is_no_report_counts_as_none(ends: Ends) -> None:
    ours, theirs = ends
    theirs.send(b"noise")
    assert await next_report(ours) is None
