"""A subscriber with access to one tenant receives its events alone, with the configuration of the how-to."""

import re
import uuid
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import anyio
import nats
import pytest
from tests.barriers import settle
from tests.jetstream.servers import own_server

from penstock_domain.chain import Stored
from penstock_jetstream import Cluster, NatsSettings, connect, names
from penstock_testing.events import submission

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "subscribe-with-plain-nats.md"
DEADLINE_S = 20.0
OWN = "penstock.live.lab.>"
WIDER = (
    ">",
    "penstock.>",
    "penstock.live.>",
    "penstock.live.*.>",
    "penstock.live.*.submitted.>",
    "penstock.live.default.>",
    "penstock.live.laboratory.>",
    "penstock.events.>",
    "penstock.events.job.lab.>",
    "penstock.logs.lab.>",
    "penstock.tasks.lab.>",
    "$KV.>",
    "$JS.>",
    "_INBOX.>",
)
REQUESTS = (
    "penstock.events.job.lab.x",
    "penstock.live.lab.submitted.x",
    "$KV.penstock_jobs.job.x",
    f"$JS.API.STREAM.MSG.GET.{names.EVENTS}",
    f"$JS.API.DIRECT.GET.{names.EVENTS}",
    f"$JS.API.CONSUMER.CREATE.{names.EVENTS}",
    "$JS.API.STREAM.NAMES",
)


@pytest.fixture
async def url(tmp_path: Path) -> AsyncGenerator[str, None]:
    """The server of the how-to page."""
    found = re.search(r"```text\n(accounts \{.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert found is not None, "the page shows a configuration"
    async with own_server(tmp_path, extra=found[1]) as server:
        yield server.url


async def publish(cluster: Cluster, tenant: str) -> Stored:
    entry = submission(f"job.{tenant}.{uuid.uuid4()}")
    (stored,) = await cluster.log.append([entry])
    await cluster.live.publish([stored])
    return stored


@pytest.mark.system
async def test_one_tenant_receives_its_own_events_alone(url: str) -> None:
    errors: list[str] = []
    received: list[tuple[str, str]] = []

    async def complain(error: Exception) -> None:
        errors.append(str(error))

    def listen(wanted: str) -> Callable[[Any], Any]:
        async def take(message: Any) -> None:
            received.append((wanted, message.subject))

        return take

    async def until(condition: Callable[[], bool]) -> None:
        with anyio.fail_after(DEADLINE_S):
            while not condition():  # noqa: ASYNC110  # the client calls back
                await anyio.sleep(0.01)

    as_lab: Any = {"user": "lab", "password": "change-me-too", "error_cb": complain}
    services = url.replace("nats://", "nats://penstock:change-me@")
    async with connect(NatsSettings(url=services)) as cluster:
        lab: Any = await nats.connect(url, **as_lab)  # pyright: ignore[reportUnknownMemberType]
        for subject in (OWN, *WIDER):
            await lab.subscribe(subject, cb=listen(subject))
        for subject in REQUESTS:
            await lab.publish(subject, b"{}", reply="penstock.live.lab.answer")
        await settle(lab)
        await until(lambda: len(errors) >= len(WIDER) + len(REQUESTS))
        assert all("permissions violation" in one_error.lower() for one_error in errors), errors
        assert not any(f'"{OWN}"' in one_error.lower() for one_error in errors)

        seen = await cluster.log.last_seq()
        for tenant in ("default", "laboratory", "lab"):
            await publish(cluster, tenant)
        await until(lambda: bool(received))
        await settle(lab)
        assert [wanted for wanted, _ in received] == [OWN]
        assert received[0][1].startswith("penstock.live.lab.submitted.")
        assert await cluster.log.last_seq() == seen + 3, "what it published did not come into the log"
        await lab.close()
