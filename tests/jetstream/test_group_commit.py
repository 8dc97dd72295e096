"""Appends in groups, where nobody sends a group."""

import anyio
import pytest

from penstock_jetstream import names
from penstock_jetstream.settings import NatsSettings
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.group_commit import GroupCommit
from penstock_jetstream.transport.messages import Message
from penstock_ports import Unavailable

MESSAGE = Message("penstock.events.job.default.1", b"{}")


@pytest.fixture
def waiting_commit() -> GroupCommit:
    """A group commit that does not run, so that its appends wait."""
    return GroupCommit(Connection(NatsSettings()))


async def test_an_append_waits_no_longer_than_its_deadline(waiting_commit: GroupCommit) -> None:
    with pytest.raises(TimeoutError):
        await waiting_commit.store([MESSAGE], deadline_s=0.01)


async def test_an_append_that_gave_up_before_it_was_sent_is_not_sent(
    waiting_commit: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MAX_WAITING_APPENDS", 1)
    with pytest.raises(TimeoutError):
        await waiting_commit.store([MESSAGE], deadline_s=0.01)
    with anyio.move_on_after(0.01):
        await waiting_commit.store([MESSAGE], deadline_s=60.0)
    with pytest.raises(TimeoutError):  # and not that too many are waiting
        await waiting_commit.store([MESSAGE], deadline_s=0.01)


async def test_there_is_a_bound_of_waiting_appends(
    waiting_commit: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MAX_WAITING_APPENDS", 0)
    with pytest.raises(Unavailable):
        await waiting_commit.store([MESSAGE], deadline_s=60.0)
