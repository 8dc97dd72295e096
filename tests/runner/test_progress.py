"""What waits to be reported of a run stays small, and states where something is missing."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from penstock_execution.engine import CountsChanged, LogWritten, TaskChanged
from penstock_runner.core.progress import (
    LIVE_LOG_BURST_CHARS,
    LIVE_LOG_CHARS_PER_S,
    MAX_CHUNK_CHARS,
    MAX_WAITING_CHARS,
    ReportQueue,
)
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import LogStream, Task, TaskState
from penstock_schemas.wire import encode

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = JobId("job")


def progress() -> ReportQueue:
    return ReportQueue(JOB, 1, now_s=0.0)


def task(name: str, state: TaskState) -> Task:
    return Task(id=name, job_id=JOB, attempt=1, name=name, state=state)


def text(value: str, stream: LogStream = LogStream.STDOUT, task_id: str | None = None) -> LogWritten:
    return LogWritten(stream=stream, text=value, task_id=task_id)


def test_of_each_task_the_last_view_waits() -> None:
    waiting = progress()
    for name in ("a", "b"):
        for state in (TaskState.WAITING, TaskState.RUNNING):
            waiting.take(TaskChanged(task=task(name, state)), now_s=0, time=NOW)
    waiting.take(CountsChanged(counts=TaskCounts(total=2, running=2)), now_s=0, time=NOW)
    delivery = waiting.drain(time=NOW)
    assert [(one_task.id, one_task.state) for one_task in delivery.tasks] == [
        ("a", TaskState.RUNNING),
        ("b", TaskState.RUNNING),
    ]
    assert delivery.counts == TaskCounts(total=2, running=2)
    assert waiting.is_empty


def test_what_could_not_be_delivered_does_not_replace_what_came_since() -> None:
    waiting = progress()
    waiting.take(TaskChanged(task=task("a", TaskState.RUNNING)), now_s=0, time=NOW)
    waiting.take(TaskChanged(task=task("b", TaskState.RUNNING)), now_s=0, time=NOW)
    waiting.take(text("first\n"), now_s=0, time=NOW)
    lost = waiting.drain(time=NOW)
    waiting.take(TaskChanged(task=task("a", TaskState.COMPLETED)), now_s=0, time=NOW)
    waiting.take(text("second\n"), now_s=0, time=NOW)
    waiting.put_back(lost)
    delivery = waiting.drain(time=NOW)
    assert {one_task.id: one_task.state for one_task in delivery.tasks} == {
        "a": TaskState.COMPLETED,
        "b": TaskState.RUNNING,
    }
    assert [chunk.text for chunk in delivery.chunks] == ["first\n", "second\n"]


def test_a_huge_view_is_cut_so_that_it_fits() -> None:
    waiting = progress()
    huge = Task(
        id="a",
        job_id=JOB,
        attempt=1,
        name="a",
        state=TaskState.FAILED,
        command="c" * 10**6,
        message="m" * 10**6,
        depends_on=tuple(f"task-{number}" for number in range(50_000)),
    )
    waiting.take(TaskChanged(task=huge), now_s=0, time=NOW)
    assert len(encode(waiting.drain(time=NOW).tasks[0])) < 512 * 1024


def test_lines_of_one_stream_travel_together_and_streams_apart() -> None:
    waiting = progress()
    for event in (text("1\n"), text("2\n"), text("e\n", LogStream.STDERR), text("3\n", task_id="t")):
        waiting.take(event, now_s=0, time=NOW)
    assert [(chunk.text, chunk.stream, chunk.task_id) for chunk in waiting.drain(time=NOW).chunks] == [
        ("1\n2\n", LogStream.STDOUT, None),
        ("e\n", LogStream.STDERR, None),
        ("3\n", LogStream.STDOUT, "t"),
    ]


def test_a_flood_is_cut_and_a_line_states_how_much_is_missing() -> None:
    waiting = progress()
    waiting.take(text("x" * (LIVE_LOG_BURST_CHARS + 1000)), now_s=0, time=NOW)
    chunks = waiting.drain(time=NOW).chunks
    assert sum(chunk.text.count("x") for chunk in chunks) == LIVE_LOG_BURST_CHARS
    assert "1,000 characters left out" in chunks[-1].text


def test_the_line_stands_where_the_text_is_missing() -> None:
    waiting = progress()
    waiting.take(text("x" * LIVE_LOG_BURST_CHARS), now_s=0, time=NOW)
    waiting.take(text("y" * 10), now_s=0, time=NOW)
    waiting.drain(time=NOW)
    waiting.take(text("y" * 10), now_s=0, time=NOW)
    waiting.take(text("z"), now_s=10, time=NOW)
    [chunk] = waiting.drain(time=NOW).chunks
    assert chunk.text.startswith("[... 10 characters left out")
    assert chunk.text.endswith("\nz")


def test_the_rate_is_given_back_over_time() -> None:
    waiting = progress()
    waiting.take(text("x" * LIVE_LOG_BURST_CHARS), now_s=0, time=NOW)
    waiting.drain(time=NOW)
    waiting.take(text("y" * LIVE_LOG_CHARS_PER_S), now_s=1, time=NOW)
    assert sum(len(chunk.text) for chunk in waiting.drain(time=NOW).chunks) == LIVE_LOG_CHARS_PER_S


@given(st.lists(st.tuples(st.integers(0, 300_000), st.floats(0, 3), st.booleans()), max_size=30))
def test_nothing_piles_up_and_what_is_missing_is_counted(steps: list[tuple[int, float, bool]]) -> None:
    waiting = progress()
    now_s, written, seen = 0.0, 0, 0
    for size, wait_s, is_delivered in steps:
        now_s += wait_s
        waiting.take(text("x" * size), now_s=now_s, time=NOW)
        written += size
        delivery = waiting.drain(time=NOW)
        assert sum(len(chunk.text) for chunk in delivery.chunks) <= MAX_WAITING_CHARS + 200 * (len(steps) + 1)
        assert all(len(chunk.text) <= MAX_CHUNK_CHARS for chunk in delivery.chunks)
        if is_delivered:
            seen += sum(chunk.text.count("x") for chunk in delivery.chunks)
        else:
            waiting.put_back(delivery)
    assert seen <= written
    assert seen <= LIVE_LOG_BURST_CHARS + now_s * LIVE_LOG_CHARS_PER_S
