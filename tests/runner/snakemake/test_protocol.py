"""What a run may report, and in which order: everything else is an invalid event, and nothing but that."""

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock_engines.snakemake.attempt_events.observation import Watch
from penstock_engines.snakemake.attempt_events.progress import TaskProgress
from penstock_engines.snakemake.attempt_events.protocol import Protocol
from penstock_engines.snakemake.frames import MAX_FRAME_BYTES, FrameReader, encode_frame
from penstock_engines.snakemake.messages import (
    MAX_DEPENDENCIES,
    MAX_FIELDS,
    MAX_REQUESTS,
    MAX_TEXT_CHARS,
    AnyMessage,
    CacheSought,
    ErrorLogged,
    GraphChanged,
    GraphTask,
    InvalidEvent,
    Message,
    OutputsFound,
    ProcessStarted,
    Requested,
    RunEnded,
    RunProblem,
    TryDescribed,
    TryEnded,
    TryStarted,
    fit,
)
from penstock_execution.provisioning import CondaEnvironment, NamedCondaEnvironment, RemoteFile
from penstock_schemas.ids import JobId, is_token

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = (0,)
"""One process was seen to end well."""


def job(task: int = 0, **more: Any) -> GraphTask:
    return GraphTask(task=task, rule=f"r{task}", wildcards={}, **more)


def graph(*jobs: GraphTask) -> GraphChanged:
    return GraphChanged(tasks=jobs)


def started(task: int = 0, try_number: int = 1) -> TryStarted:
    return TryStarted(task=task, try_number=try_number, time=NOW)


def process(task: int = 0, try_number: int = 1) -> ProcessStarted:
    return ProcessStarted(task=task, try_number=try_number, pid=1)


def ended(task: int = 0, try_number: int = 1, *, ok: bool = True, **more: Any) -> TryEnded:
    return TryEnded(task=task, try_number=try_number, time=NOW, ok=ok, **more)


def requested(number: int = 0, text: str = "") -> Requested:
    return Requested(number=number, requirement=CondaEnvironment(label="a.yaml", specification=text))


def sought(number: int = 0, task: int = 0) -> CacheSought:
    return CacheSought(number=number, task=task, key="a" * 64, outputs=("out",))


def test_a_job_without_a_process_needs_outputs_that_the_engine_restored() -> None:
    protocol = Protocol()
    protocol.take(graph(job()))
    protocol.take(sought())
    protocol.answered()
    protocol.take(started())
    with pytest.raises(InvalidEvent, match="no process of it was seen"):
        protocol.take(ended())


def test_restored_outputs_count_for_one_try() -> None:
    protocol = Protocol()
    protocol.take(graph(job()))
    protocol.take(sought())
    protocol.restored(0)
    protocol.take(started())
    protocol.take(ended())
    protocol.take(started())
    with pytest.raises(InvalidEvent, match="no process of it was seen"):
        protocol.take(ended())


@pytest.mark.parametrize(
    "messages",
    [
        [sought()],
        [graph(job()), sought(number=1)],
        [graph(job()), started(), sought()],
        [graph(job(is_service=True)), sought()],
        [graph(job()), requested(), sought(number=0)],
    ],
)
def test_outputs_are_sought_before_a_job_of_the_graph_starts(messages: list[AnyMessage]) -> None:
    protocol = Protocol()
    for message in messages[:-1]:
        protocol.take(message)
    with pytest.raises(InvalidEvent):
        protocol.take(messages[-1])


@pytest.mark.parametrize("key", ["", "a" * 63, "A" * 64, "a" * 63 + "/", "a" * 64 + "\n"])
def test_a_key_that_is_no_digest_is_no_message(key: str) -> None:
    frame = encode_frame(CacheSought(number=0, task=0, key=key, outputs=("out",)))
    with pytest.raises(InvalidEvent):
        list(FrameReader().feed(frame))


def take_all(messages: Sequence[Message], *, exit_codes: tuple[int | None, ...] = SEEN, is_dry: bool = False) -> None:
    protocol = Protocol(is_dry=is_dry)
    for message in messages:
        assert isinstance(message, AnyMessage)
        protocol.take(message, exit_codes=exit_codes)


GOOD: dict[str, list[Message]] = {
    "one job": [graph(job()), started(), process(), ended(), GraphChanged(), RunEnded()],
    "nothing to do": [GraphChanged(), RunEnded()],
    "a failure": [
        graph(job()),
        started(),
        process(),
        ended(ok=False, exit_code=3),
        RunEnded(problem=RunProblem(message="x")),
    ],
    "a retry": [
        *(graph(job()), started(), process(), ended(ok=False, will_retry=True)),
        *(started(try_number=2), process(try_number=2), ended(try_number=2), RunEnded()),
    ],
    "a job that is not needed any more": [
        graph(job(), job(1)),
        started(),
        ended(),
        GraphChanged(gone=(1,)),
        RunEnded(),
    ],
    "a job that is needed again": [graph(job()), GraphChanged(gone=(0,)), graph(job()), started(), ended(), RunEnded()],
    "a job that runs again after a checkpoint": [graph(job()), started(), ended(), started(), ended(), RunEnded()],
    "consumers beside their producer": [
        *(graph(job(), job(1, depends_on=(0,))), started(1), started(0), ended(1), ended(0), RunEnded()),
    ],
    "requests before the graph, and later": [requested(0), requested(1), graph(), requested(2), RunEnded()],
    "an error before anything": [RunEnded(problem=RunProblem(message="no such file"))],
}

BAD: dict[str, tuple[str, list[Message]]] = {
    "the end without a graph": ("before its graph was known", [RunEnded()]),
    "the end before a job": ("job 0 of it was waiting", [graph(job()), RunEnded()]),
    "the end while a job runs": ("job 0 of it was running", [graph(job()), started(), RunEnded()]),
    "the end after a failure": ("job 0 of it was failed", [graph(job()), started(), ended(ok=False), RunEnded()]),
    "a second end": ("after the end", [GraphChanged(), RunEnded(), RunEnded()]),
    "a job after the end": ("after the end", [GraphChanged(), RunEnded(), graph(job())]),
    "a job of no graph begins": ("no job 7", [graph(job()), started(7)]),
    "a job of no graph is described": ("no job 7", [graph(job()), TryDescribed(task=7)]),
    "a job of no graph is gone": ("no job 7", [GraphChanged(gone=(7,))]),
    "a job waits for one of no graph": ("which is not in the graph", [graph(job(depends_on=(9,)))]),
    "a job waits for itself": ("which is not in the graph", [graph(job(depends_on=(0,)))]),
    "a number for two jobs": ("represents two jobs", [graph(job()), graph(GraphTask(task=0, rule="x", wildcards={}))]),
    "a try begins twice": ("was running", [graph(job()), started(), started()]),
    "a second try first": ("try 2 of job 0", [graph(job()), started(try_number=2)]),
    "a retry that was not announced": (
        "try 2 of job 0",
        [graph(job()), started(), ended(ok=False), started(try_number=2)],
    ),
    "a try is left out": (
        "try 3 of job 0",
        [graph(job()), started(), ended(ok=False, will_retry=True), started(try_number=3)],
    ),
    "a try ends that did not begin": ("not running", [graph(job()), ended()]),
    "a try ends twice": ("not running", [graph(job()), started(), ended(), ended(ok=False)]),
    "another try ends": ("not running", [graph(job()), started(), ended(try_number=2)]),
    "a process of a job that waits": ("not running", [graph(job()), process()]),
    "good and to be tried again": ("failed at once", [graph(job()), started(), ended(will_retry=True)]),
    "good with an exit code": ("failed at once", [graph(job()), started(), ended(exit_code=1)]),
    "good before what it waits for": (
        "before job 0 began",
        [graph(job(), job(1, depends_on=(0,))), started(1), ended(1)],
    ),
    "a request that is not the next one": ("request 1 in place of 0", [requested(1)]),
    "a request twice": ("request 0 in place of 1", [requested(0), requested(0)]),
    "a request after the end": ("after the end", [GraphChanged(), RunEnded(), requested(0)]),
    "too many requests at a time": ("more than 32 requests", [requested(number) for number in range(33)]),
    "a job that is gone begins": ("was not needed any more", [graph(job()), GraphChanged(gone=(0,)), started()]),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_snakemake_does_is_taken(name: str) -> None:
    take_all(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused(name: str) -> None:
    why, messages = BAD[name]
    take_all(messages[:-1])
    with pytest.raises(InvalidEvent, match=why):
        take_all(messages)


@pytest.mark.parametrize(
    ("exit_codes", "why"),
    [((), "no process of it was seen"), ((3,), "exit code 3"), ((0, -9), "exit code -9"), ((None, 1), "exit code 1")],
)
def test_a_job_ends_well_only_by_what_was_seen(exit_codes: tuple[int | None, ...], why: str) -> None:
    with pytest.raises(InvalidEvent, match=why):
        take_all([graph(job()), started(), process(), ended()], exit_codes=exit_codes)


def test_a_job_without_a_process_and_a_service_that_is_killed_end_well() -> None:
    take_all([graph(job(is_norun=True)), started(), ended(), RunEnded()], exit_codes=())
    take_all([graph(job(is_service=True)), started(), process(), ended(), RunEnded()], exit_codes=(-15,))


def test_an_old_kernel_that_gives_no_exit_code_is_enough() -> None:
    take_all([graph(job()), started(), process(), ended(), RunEnded()], exit_codes=(None,))


def test_nothing_starts_in_a_plan() -> None:
    take_all([graph(job()), RunEnded()], is_dry=True)
    with pytest.raises(InvalidEvent, match="in a plan"):
        take_all([graph(job()), started()], is_dry=True)


def test_the_number_of_jobs_and_messages_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "penstock_engines.snakemake.attempt_events.protocol"
    monkeypatch.setattr(f"{module}.MAX_TASKS", 2)
    with pytest.raises(InvalidEvent, match="more than 2 jobs"):
        take_all([graph(job(), job(1), job(2))])
    monkeypatch.setattr(f"{module}.MAX_MESSAGES", 5)
    with pytest.raises(InvalidEvent, match="more than 5 messages"):
        take_all([ErrorLogged(exception="", text="")] * 6)
    monkeypatch.setattr(f"{module}.MAX_GRAPH_CHARS", 10)
    with pytest.raises(InvalidEvent, match="characters"):
        take_all([graph(job(outputs=("x" * 20,)))])


def test_requests_are_bounded_together_and_an_answer_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = Protocol()
    for number in range(100):
        protocol.take(requested(number))
        protocol.answered()
    monkeypatch.setattr("penstock_engines.snakemake.attempt_events.protocol.MAX_REQUEST_CHARS", 1_000)
    with pytest.raises(InvalidEvent, match="requests of more than"):
        protocol.take(requested(100, "x" * 1_000))


# Frames


def frame(message: object) -> bytes:
    body = msgspec.json.encode(message)
    return struct.pack(">I", len(body)) + body


START: dict[str, object] = {"type": "TryStarted", "task": 0, "try_number": 1, "time": "2026-01-01T00:00:00Z"}
ENTRY: dict[str, object] = {"task": 0, "rule": "r", "wildcards": {}}


def request_of(**fields: object) -> dict[str, object]:
    return {"type": "Requested", "number": 0, "requirement": {"label": "a", **fields}}


CONDA: dict[str, object] = {"type": "CondaEnvironment", "specification": ""}


def graph_with(**fields: object) -> dict[str, object]:
    return {"type": "GraphChanged", "tasks": [ENTRY | fields]}


OUT_OF_BOUNDS: list[object] = [
    START | {"key": "/etc/x"},
    {"type": "GraphChanged", "tasks": [{"key": "a b", "rule": "leak", "wildcards": {}}]},
    START | {"task": -1},
    START | {"task": 10**9},
    START | {"task": "0"},
    START | {"task": True},
    START | {"try_number": 0},
    START | {"try_number": 10**6},
    START | {"time": "2026-01-01T00:00:00"},
    START | {"time": "yesterday"},
    {"type": "ProcessStarted", "task": 0, "try_number": 1, "pid": 0},
    {"type": "ProcessStarted", "task": 0, "try_number": 1, "pid": -1},
    {"type": "ProcessStarted", "task": 0, "try_number": 1, "pid": 2**40},
    graph_with(rule=""),
    graph_with(rule="x" * 2000),
    graph_with(wildcards={"x" * 2000: "1"}),
    graph_with(wildcards={"x": "1" * 5000}),
    graph_with(wildcards={f"{number}": "" for number in range(MAX_FIELDS + 1)}),
    graph_with(depends_on=list(range(MAX_DEPENDENCIES + 1))),
    graph_with(depends_on=["/x"]),
    graph_with(outputs=["x" * 5000]),
    graph_with(other=1),
    {"type": "GraphChanged", "tasks": [ENTRY] * 501},
    {"type": "ErrorLogged", "exception": "E", "text": "x" * (MAX_TEXT_CHARS + 200)},
    {"type": "OutputsFound", "paths": ["x"] * 501},
    {"type": "TryDescribed", "task": 0, "resources": {"x": 2**63}},
    {"type": "TryDescribed", "task": 0, "resources": {"x": [1]}},
    {"type": "RunEnded", "problem": {"message": "x", "unknown": 1}},
    request_of(**CONDA) | {"number": MAX_REQUESTS},
    request_of(**CONDA) | {"number": -1},
    request_of(**CONDA, label=""),
    request_of(**CONDA, label="x" * 2000),
    request_of(**CONDA, path="/etc"),
    request_of(**CONDA, pins=1),
    request_of(type="CondaEnvironment", specification="x" * 300_000),
    request_of(type="NamedCondaEnvironment", name="x" * 300),
    request_of(type="ContainerImage", uri=""),
    request_of(type="RemoteFile", address="x" * 5000),
    request_of(type="RemoteFile", address=""),
    request_of(type="Requirement"),
    {"type": "Message"},
    {"type": "Nobody"},
    {"no": "type"},
    [],
    None,
]


@pytest.mark.parametrize("message", OUT_OF_BOUNDS)
def test_a_field_out_of_its_bounds_is_refused(message: object) -> None:
    with pytest.raises(InvalidEvent):
        list(FrameReader().feed(frame(message)))


def test_a_number_that_is_infinite_is_refused() -> None:
    body = b'{"type":"TryDescribed","task":0,"resources":{"x":1e999}}'
    with pytest.raises(InvalidEvent):
        list(FrameReader().feed(struct.pack(">I", len(body)) + body))


def test_the_message_of_an_invalid_event_is_short_and_plain() -> None:
    with pytest.raises(InvalidEvent) as caught:
        list(FrameReader().feed(frame({"type": "RunEnded", "\x1b[31m\n" + "x" * 5000: 1})))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 200


def test_long_names_are_shortened_and_stay_apart() -> None:
    assert fit("short", 100) == "short"
    one, other = fit("x" * 5000 + "1", 100), fit("x" * 5000 + "2", 100)
    assert len(one) == len(other) == 100
    assert one != other


names = st.text(max_size=12)
numbers = st.integers(0, 4)
texts = st.text(max_size=30)
entries = st.builds(
    GraphTask,
    task=numbers,
    rule=st.text(min_size=1, max_size=12),
    wildcards=st.dictionaries(st.text(min_size=1, max_size=5), texts, max_size=2),
    depends_on=st.lists(numbers, max_size=3).map(tuple),
    is_norun=st.booleans(),
    outputs=st.lists(texts, max_size=2).map(tuple),
)
requirements = st.one_of(
    st.builds(CondaEnvironment, label=names, specification=texts, pins=st.none() | texts),
    st.builds(NamedCondaEnvironment, label=texts, name=names),
    st.builds(RemoteFile, label=texts, address=names),
)
messages = st.one_of(
    st.builds(
        GraphChanged, tasks=st.lists(entries, max_size=4).map(tuple), gone=st.lists(numbers, max_size=2).map(tuple)
    ),
    st.builds(TryStarted, task=numbers, try_number=st.integers(1, 3), time=st.just(NOW)),
    st.builds(ProcessStarted, task=numbers, try_number=st.integers(1, 3), pid=st.integers(1, 1 << 22)),
    st.builds(
        TryDescribed, task=numbers, command=texts, reason=texts, resources=st.dictionaries(names.filter(bool), texts)
    ),
    st.builds(
        TryEnded,
        task=numbers,
        try_number=st.integers(1, 3),
        time=st.just(NOW),
        ok=st.booleans(),
        exit_code=st.none() | st.integers(-64, 255),
        raised=st.none() | texts,
        will_retry=st.booleans(),
        cancelled=st.booleans(),
    ),
    st.builds(ErrorLogged, exception=names, text=st.text(max_size=40).map("in rule r0: ".__add__)),
    st.builds(OutputsFound, paths=st.lists(texts, max_size=3).map(tuple)),
    st.builds(Requested, number=numbers, requirement=requirements),
    st.builds(RunEnded, problem=st.none() | st.builds(RunProblem, message=texts)),
)


def run_through(stream: bytes, exit_codes: tuple[int | None, ...] = SEEN) -> TaskProgress:
    """Take a stream as the engine does, up to its first invalid event."""
    protocol, progress, reader = Protocol(), TaskProgress(JobId("job"), 1), FrameReader()
    try:
        for at in range(0, len(stream), 97):
            for message in reader.feed(stream[at : at + 97]):
                protocol.take(message, exit_codes=exit_codes)
                for task in progress.apply(message):
                    assert is_token(task.id)
                    assert "/" not in task.id
                    assert "." not in task.id
    except InvalidEvent as error:
        refusal = str(error)
    else:
        refusal = ""
    assert not refusal or refusal.isprintable()
    assert len(refusal) < 400
    counts = progress.counts
    assert counts.total >= counts.done + counts.running + counts.failed >= 0
    return progress


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
@example(b"\xff\xff\xff\xff")
@example(struct.pack(">I", MAX_FRAME_BYTES) + b"[" * 1000)
@example(struct.pack(">I", 100_000) + b"[" * 100_000)
@example(struct.pack(">I", 100_000) + b'{"type":' * 12_500)
def test_no_bytes_raise_anything_else(stream: bytes) -> None:
    run_through(stream)


@settings(max_examples=300, deadline=None)
@given(st.lists(messages, max_size=12), st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4))
def test_no_change_to_good_frames_raises_anything_else(sent: list[Message], changes: list[tuple[int, int]]) -> None:
    stream = bytearray(b"".join(map(encode_frame, sent)))
    for place, value in changes:
        if stream:
            stream[place % len(stream)] = value
    run_through(bytes(stream))


@settings(max_examples=500, deadline=None)
@given(st.lists(messages, max_size=30), st.sampled_from([(), (0,), (1,), (None,)]))
def test_no_sequence_of_good_frames_raises_anything_else(sent: list[Message], codes: tuple[int | None, ...]) -> None:
    progress = run_through(b"".join(map(encode_frame, sent)), codes)
    if progress.ended is not None and progress.ended.problem is None:
        assert progress.counts.total == progress.counts.done


def test_what_is_pending_is_bounded() -> None:
    reader = FrameReader()
    assert list(reader.feed(struct.pack(">I", MAX_FRAME_BYTES))) == []
    with pytest.raises(InvalidEvent):
        list(FrameReader().feed(struct.pack(">I", MAX_FRAME_BYTES + 1)))


# What is seen of processes


@pytest.fixture(params=[True, False], ids=["exit codes", "older kernel"])
def watch(request: pytest.FixtureRequest) -> Watch:
    """Return what watches on this kernel, and as it would on one without `PIDFD_GET_INFO`."""
    has_process_info: bool = request.param
    return Watch(os.getpid(), has_process_info=has_process_info)


@pytest.mark.system
@pytest.mark.parametrize(("code", "killed"), [(0, False), (7, False), (0, True)])
def test_the_end_of_a_child_is_seen(watch: Watch, code: int, killed: bool) -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause() if killed else None
        os._exit(code)
    watch.open(0, pid)
    if killed:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    (seen,) = watch.end(0)
    assert seen in ((-9 if killed else code), None)
    if watch._has_process_info:  # pyright: ignore[reportPrivateUsage]
        assert seen == (-9 if killed else code)
    assert watch.end(0) == ()


@pytest.mark.system
def test_a_child_that_was_not_collected_yet_can_be_opened(watch: Watch) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    watch.open(0, pid)
    os.waitpid(pid, 0)
    assert watch.end(0) in ((0,), (None,))


def test_a_process_of_somebody_else_is_refused(watch: Watch) -> None:
    for pid in (1, os.getpid(), os.getppid()):
        with pytest.raises(InvalidEvent, match="none of the workflow's"):
            watch.open(0, pid)


@pytest.mark.system
def test_a_grandchild_is_refused(watch: Watch) -> None:
    script = (
        "import subprocess, sys; inner = subprocess.Popen(['sleep', '60']); print(inner.pid, flush=True)\n"
        "sys.stdin.read(); inner.kill()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        with pytest.raises(InvalidEvent, match="none of the workflow's"):
            watch.open(0, grandchild)
        child.communicate(b"")


@pytest.mark.system
def test_a_process_that_is_gone_is_not_seen(watch: Watch) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    watch.open(0, pid)
    assert watch.end(0) == ()


@pytest.mark.system
@pytest.mark.parametrize("has_process_info", [True, False])
def test_a_child_whose_parent_has_ended_is_not_seen(has_process_info: bool) -> None:
    """It may have been killed: that makes nobody a forger, and nothing a success."""
    script = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        watch = Watch(parent.pid, has_process_info=has_process_info)
        parent.kill()
        parent.wait()
        watch.open(0, grandchild)
        assert watch.end(0) == ()
        os.kill(grandchild, signal.SIGKILL)
        watch.close()


@pytest.mark.system
def test_a_process_that_still_runs_did_not_end_well(watch: Watch) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        watch.open(0, child.pid)
        with pytest.raises(InvalidEvent, match="still running"):
            watch.end(0)
        child.kill()


@pytest.mark.system
def test_the_number_of_watched_processes_is_bounded() -> None:
    watch = Watch(os.getpid(), max_processes=2)
    with subprocess.Popen(["sleep", "60"]) as child:
        watch.open(0, child.pid)
        watch.open(1, child.pid)
        with pytest.raises(InvalidEvent, match="at a time"):
            watch.open(2, child.pid)
        watch.drop(0)
        watch.open(2, child.pid)
        watch.close()
        child.kill()
    assert len(list(Path("/proc/self/fd").iterdir())) < 1000
