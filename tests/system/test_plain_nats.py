"""An outsider with nothing but a NATS client and `docs/reference` sees every accepted event, and no refused one.

Nothing of Penstock is imported here but the fixture that starts it: what the subscriber knows, it knows from the
pages `events.md` and `nats.md`.
"""

import hashlib
import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import nats
import nats.errors
import pytest
from nats.js.errors import APIError
from tests.barriers import settle
from tests.system.processes import System, running_system, wait_until

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "subscribe.py"
TERMINAL = {"COMPLETED", "FAILED", "CANCELLED"}
STATUS = {  # docs/reference/states.md
    "QUEUED": "pending",
    "HELD": "pending",
    "ASSIGNED": "pending",
    "RUNNING": "running",
    "CANCELLING": "running",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
}
LIVE_WORD = {  # docs/reference/nats.md
    "JobSubmitted": "submitted",
    "JobHeld": "held",
    "JobReleased": "released",
    "JobAssigned": "assigned",
    "AttemptStarted": "started",
    "JobCompleted": "completed",
    "JobFailed": "failed",
    "JobRequeued": "requeued",
    "JobCancelRequested": "cancel-requested",
    "JobCancelled": "cancelled",
}
NO_TASKS = {"total": 0, "done": 0, "running": 0, "failed": 0}

pytestmark = pytest.mark.system


class Subscriber:
    """The example of the documentation, in a separate process; its lines arrive here."""

    def __init__(self, url: str, log: Path) -> None:
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, str(EXAMPLE), url], stdout=subprocess.PIPE, stderr=self._log, stdin=subprocess.DEVNULL
        )
        self.messages: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_until(lambda: b"subscribed to" in log.read_bytes(), deadline_s=30, what="the subscription")

    def close(self) -> None:
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(30) == 0
        self._reader.join(30)
        self._log.close()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self.messages.append(json.loads(line))


@contextmanager
def subscribed(system: System) -> Generator[Subscriber]:
    subscriber = Subscriber(system.nats_url, system.root / "subscriber.log")
    try:
        yield subscriber
    finally:
        subscriber.kill()


def rebuild(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the list of jobs, newest first, by the effects of each event in docs/reference/events.md."""
    jobs: dict[str, dict[str, Any]] = {}
    for message in messages:
        event, seq = json.loads(message["event"]), int(message["headers"]["Penstock-Seq"])
        job_id = event["aggregate"].rpartition(".")[2]
        data, kind = event["data"], event["data"]["type"]
        job = jobs.setdefault(job_id, {"version": 0})
        if event["version"] <= job["version"]:
            continue
        assert event["version"] == job["version"] + 1, "the feed has a gap"
        job |= {"version": event["version"], "seq": seq, "updated_at": event["time"]}
        match kind:
            case "JobSubmitted":
                spec = data["spec"]
                job |= {
                    "id": data["job_id"],
                    "created_seq": seq,
                    "state": "HELD" if spec.get("hold", False) else "QUEUED",
                    "pipeline_name": spec["pipeline_name"],
                    "engine": spec["engine"],
                    "owner": spec.get("owner", "anonymous"),
                    "parameters": spec.get("parameters", {}),
                    "description": spec.get("description"),
                    "labels": spec.get("labels", {}),
                    "priority": spec.get("priority", 0),
                    "pipeline": spec.get("pipeline"),
                    "requeue": spec.get("requeue", True),
                    "hold": spec.get("hold", False),
                    "created_at": event["time"],
                    "started_at": None,
                    "completed_at": None,
                    "error_message": None,
                    "failure": None,
                    "attempt": 0,
                    "runner_id": None,
                    "tasks": NO_TASKS,
                    "output_files": 0,
                    "output_bytes": 0,
                    "warnings": [],
                    "left_out": of_source(spec, "left_out"),
                    "declared": of_source(spec, "declared"),
                    "measured": None,
                    "damage": None,
                    "parent": spec.get("lineage"),
                }
            case "JobHeld":
                job["state"] = "HELD"
            case "JobReleased":
                job["state"] = "QUEUED"
            case "JobAssigned":
                job |= {"state": "ASSIGNED", "attempt": data["attempt"], "runner_id": data["runner_id"]}
            case "AttemptStarted":
                if job["state"] != "CANCELLING":
                    job["state"] = "RUNNING"
                job["started_at"] = event["time"]
            case "JobRequeued":
                job |= {"state": "QUEUED", "runner_id": None}
            case "JobCancelRequested":
                job["state"] = "CANCELLING"
            case "JobCompleted" | "JobFailed" | "JobCancelled":
                job |= {"state": kind.removeprefix("Job").upper(), "completed_at": event["time"]}
                job |= {"tasks": data.get("tasks", NO_TASKS), "warnings": data.get("warnings", [])}
                job["measured"] = data.get("measured")
                if kind != "JobCancelled":
                    job["output_files"] = data.get("output_files", 0)
                    job["output_bytes"] = data.get("output_bytes", 0)
                if kind == "JobFailed":
                    job |= {"failure": data["failure"], "error_message": data["failure"]["message"]}
            case _:
                pass  # a newer Penstock may send more
    for job in jobs.values():
        job["status"] = STATUS[job["state"]]
    return sorted(jobs.values(), key=lambda job: -job["created_seq"])


def of_source(submitted: dict[str, Any], name: str) -> list[Any]:
    """Return a list that belongs to the source of a submission; there may be none."""
    source: dict[str, Any] = submitted.get("source") or {}
    found: list[Any] = source.get(name, [])
    return found


def comparable(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job as a client reads it: without what the API adds for one job, and with times as times."""
    skipped = {"version", "created_seq", "status_detail", "waiting", "preflight", "children", "child_count"}
    times = {"created_at", "updated_at", "started_at", "completed_at"}
    return {
        name: datetime.fromisoformat(value) if name in times and value else value
        for name, value in job.items()
        if name not in skipped
    }


def listed(system: System) -> list[dict[str, Any]]:
    """Return every job as the API lists it, over all pages."""
    jobs: list[dict[str, Any]] = []
    cursor = ""
    while True:
        status, page = system.get(f"/jobs?limit=50{cursor}")
        assert status == 200
        jobs += page["jobs"]
        if page["next_cursor"] is None:
            assert len(jobs) == page["total"]
            return jobs
        cursor = f"&cursor={page['next_cursor']}"


def test_a_plain_subscriber_can_rebuild_the_list_of_jobs(tmp_path: Path) -> None:
    with running_system(tmp_path, PENSTOCK_MOCK_UNKNOWN_PIPELINES="true") as system, subscribed(system) as subscriber:
        job_ids = load(system)
        with ThreadPoolExecutor(1) as thread:  # in the tests' own one the event loop of asynchronous tests may be open
            refused = thread.submit(anyio.run, refused_appends, system.nats_url, job_ids).result()
        accepted, jobs = outcome(system, subscriber, job_ids)

    received = [json.loads(message["event"])["id"] for message in subscriber.messages]
    assert not refused & set(received)
    assert len(refused) >= 30
    assert len(received) == len(accepted), "nothing comes twice without a reason"
    for message in subscriber.messages:
        assert_described(message, accepted)
    assert_chained(subscriber.messages)
    assert [comparable(job) for job in rebuild(subscriber.messages)] == [comparable(job) for job in jobs]
    assert {job["state"] for job in jobs} == TERMINAL


def test_no_event_is_missed_when_the_projector_is_killed(tmp_path: Path) -> None:
    with running_system(tmp_path, PENSTOCK_MOCK_UNKNOWN_PIPELINES="true") as system, subscribed(system) as subscriber:
        with ThreadPoolExecutor(1) as background:
            loading = background.submit(load, system)
            for count in (10, 60, 120):
                await_messages(subscriber, count)
                system.services["projector"].kill()
                system.services["projector"].start()
            job_ids = loading.result()
        _, jobs = outcome(system, subscriber, job_ids)

    assert [comparable(job) for job in rebuild(subscriber.messages)] == [comparable(job) for job in jobs]


def await_messages(subscriber: Subscriber, count: int) -> None:
    wait_until(lambda: len(subscriber.messages) >= count, deadline_s=60, what=f"{count} messages")


def outcome(
    system: System, subscriber: Subscriber, job_ids: set[str]
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Wait until everything has ended and was received; return every accepted event by its id, and the list of jobs."""
    wait_until(lambda: all_ended(system, len(job_ids)), deadline_s=120, what="every job has ended")
    accepted = {event["id"]: event for job_id in job_ids for event in events_of(system, job_id)}

    def received() -> set[str]:
        return {json.loads(message["event"])["id"] for message in list(subscriber.messages)}

    wait_until(lambda: received() >= set(accepted), deadline_s=30, what="every event has arrived")
    jobs = listed(system)
    subscriber.close()
    assert received() == set(accepted)
    return accepted, jobs


def load(system: System) -> set[str]:
    """Submit jobs that complete, fail, are held and are cancelled, some under keys that several clients race for."""

    def submit(client: int) -> str:
        # Of three clients with one key two send the same request and the third another one: one job is created.
        number, is_odd = client // 3, client % 3 == 2
        mock = {"success_rate": 0 if number % 3 else 1, "min_duration": 0, "max_duration": 0.2 if number % 2 else 0}
        body = {
            "pipeline_name": f"pipeline-{number % 4}",
            "parameters": {"mock": mock, "number": number, "text": "naïve"},
            "description": None if number % 5 else f"job {number}",
            "labels": {"kind": str(number % 2)} if number % 4 else {},
            "owner": f"owner-{number % 3}",
            "priority": number + is_odd,
        }
        status, job = system.post("/jobs", body, **{"Idempotency-Key": f"key-{number}"})
        assert status in (200, 201, 409)
        return str(job["id"]) if status != 409 else ""

    def cancelled(number: int) -> str:
        slow = {"success_rate": 1, "min_duration": 60, "max_duration": 60}
        body = {"pipeline_name": "slow", "parameters": {"mock": slow, "number": number}}
        _, job = system.post("/jobs", {**body, "hold": number % 3 > 0, "requeue": number % 2 > 0})
        if number % 3 > 1:
            assert system.post(f"/jobs/{job['id']}/release")[0] == 200
            system.post(f"/jobs/{job['id']}/hold", {"reason": "not now"})  # unless it has begun
        address = f"/jobs/{job['id']}/cancel"
        with ThreadPoolExecutor(4) as rivals:
            list(rivals.map(system.post, [address] * 4, [{"reason": "enough"}] * 4))
        return str(job["id"])

    with ThreadPoolExecutor(16) as clients:
        numbers = list(clients.map(submit, range(120)))
        slow = list(clients.map(cancelled, range(10)))
    assert numbers.count("") >= 40
    return {*numbers, *slow} - {""}


async def refused_appends(url: str, job_ids: set[str]) -> set[str]:
    """Publish what the log must refuse: events after one that is not the last. Return their ids.

    A plain subscriber to the log's own subjects receives them nevertheless. That is why there is a live feed.
    """
    # nats-py's options have no types.
    connection = await nats.connect(url)  # pyright: ignore[reportUnknownMemberType]
    overheard: set[str] = set()
    wiretap = await connection.subscribe("penstock.events.job.>")  # pyright: ignore[reportUnknownMemberType]
    await settle(connection)
    refused: set[str] = set()
    for job_id in sorted(job_ids)[:40]:
        event_id = uuid.uuid4().hex
        aggregate = f"job.default.{job_id}"
        event = {
            "id": event_id,
            "aggregate": aggregate,
            "version": 2,
            "time": "2030-01-01T00:00:00Z",
            "actor": "outsider",
            "cause": None,
            "previous": "",
            "schema": 1,
            "data": {"type": "JobFailed", "attempt": 1, "failure": {"cause": "system", "message": "forged"}},
        }
        headers = {"Nats-Expected-Last-Subject-Sequence": "999999999"}
        try:
            reply = await connection.request(
                f"penstock.events.{aggregate}", json.dumps(event).encode(), timeout=10, headers=headers
            )
        except (nats.errors.Error, APIError) as error:
            pytest.fail(f"the log did not answer: {error}")
        assert json.loads(reply.data)["error"]["err_code"] in (10071, 10164)
        refused.add(event_id)
    with anyio.fail_after(30):
        while not refused <= overheard:
            overheard.add(json.loads((await wiretap.next_msg(timeout=10)).data)["id"])
    await connection.close()
    return refused


def all_ended(system: System, count: int) -> bool:
    jobs = listed(system)
    return len(jobs) == count and all(job["state"] in TERMINAL for job in jobs)


def events_of(system: System, job_id: str) -> Iterator[dict[str, Any]]:
    status, page = system.get(f"/jobs/{job_id}/events")
    assert status == 200
    assert page["done"]
    yield from page["events"]


def assert_described(message: dict[str, Any], accepted: dict[str, dict[str, Any]]) -> None:
    """Check subject and headers of a message against docs/reference/nats.md."""
    event, headers = json.loads(message["event"]), message["headers"]
    _, tenant, job_id = event["aggregate"].split(".")
    known = accepted[event["id"]]
    assert message["subject"] == f"penstock.live.{tenant}.{LIVE_WORD[event['data']['type']]}.{job_id}"
    assert int(headers["Penstock-Seq"]) == known["seq"]
    assert headers["ce-id"] == event["id"]
    assert headers["ce-specversion"] == "1.0"
    assert datetime.fromisoformat(headers["ce-time"]) == datetime.fromisoformat(event["time"])
    assert event["data"]["type"] in headers["ce-type"]
    assert headers["ce-source"]
    assert hashlib.sha256(message["event"].encode()).hexdigest() == known["hash"]


def assert_chained(messages: list[dict[str, Any]]) -> None:
    """Check that each event names the hash of the one before it: what arrived is what is stored."""
    last: dict[str, str] = {}
    for message in messages:
        event = json.loads(message["event"])
        assert event["previous"] == last.get(event["aggregate"], "")
        last[event["aggregate"]] = hashlib.sha256(message["event"].encode()).hexdigest()
