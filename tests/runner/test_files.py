"""What a run leaves behind: outputs, logs and their keys, through the whole runner."""

import errno
import hashlib
import json
import os
from pathlib import Path

import anyio
import pytest
from tests.runner.conftest import Stage
from tests.runner.faults import DownBoard, FailingBlobs, HangingTail, StutteringBoard
from tests.runner.runner_harness import eventually

from penstock_execution.engine import Attempt, CountsChanged, Emit, LogWritten, Outcome, TaskChanged
from penstock_execution.files.produced import Declared, Produced
from penstock_execution.files.produced_files import collect
from penstock_execution.local_workspace import local_folders
from penstock_jetstream.adapters.blobs import open_blobs
from penstock_runner.attempts.reporting import TASKS_PER_SEND
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import FailureCause, JobState, Source, SourceKind, TaskCounts
from penstock_schemas.outputs import OutputKind, OutputManifest
from penstock_schemas.views import Job, LogStream, Task, TaskState
from penstock_schemas.wire import decode_view
from penstock_testing.scripted_engine import STOPPED, Script, ScriptedEngine, succeed


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between retries."""
    monkeypatch.setattr("penstock_runner.attempts.upload_retries.PAUSES_S", (0.01, 0.02))
    monkeypatch.setattr("penstock_runner.attempts.upload_retries.QUICK_S", 0.05)
    monkeypatch.setattr("penstock_runner.attempts.reporting.OUTAGE_PAUSE_S", 0.01)
    monkeypatch.setattr("penstock_runner.attempts.reporting.FLUSH_INTERVAL_S", 0.01)
    monkeypatch.setattr("penstock_runner.attempts.reporting.SEND_DEADLINE_S", 0.1)
    monkeypatch.setattr("penstock_runner.attempts.reporting.FINAL_FLUSH_S", 0.2)


def writes(files: dict[str, bytes], *also: str, kind: OutcomeKind = OutcomeKind.SUCCEEDED) -> Script:
    """Write files and name them as outputs, and others that are not written."""

    async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        for name, content in files.items():
            path = local_folders(attempt.workspace).work_dir / name
            await anyio.Path(path.parent).mkdir(parents=True, exist_ok=True)
            await anyio.Path(path).write_bytes(content)
        return Outcome(kind=kind, produced=produced(attempt, *files, *also))

    return script


def produced(attempt: Attempt, *outputs: str) -> Produced:
    """Return what an engine finds in the work directory of these outputs."""
    return collect(
        local_folders(attempt.workspace).work_dir,
        Declared(outputs=outputs),
        source=local_folders(attempt.workspace).source_files,
    )


async def run(
    stage: Stage, script: Script, *states: JobState, source: Source | None = None, needs_files: bool = True
) -> Job:
    async with stage.runner(ScriptedEngine(script, needs_files=needs_files)):
        _, joined = await stage.desk.joined()
        job_id = await stage.desk.submit(source=source)
        await stage.desk.assign(job_id, joined.runner_id)
        return await stage.desk.reaches(job_id, *(states or (JobState.COMPLETED,)))


async def manifest(stage: Stage, job: Job) -> OutputManifest:
    return decode_view(await stage.blobs.get_bytes(f"jobs/{job.id}/outputs.json"), OutputManifest)


async def engine_log(stage: Stage, job: Job) -> str:
    return (await stage.blobs.get_bytes(f"jobs/{job.id}/{job.attempt}/logs/engine.log")).decode()


class TestOutputs:
    async def test_are_stored_with_their_sizes_and_sums(self, stage: Stage) -> None:
        job = await run(stage, writes({"plot.svg": b"<svg/>", "tables/a b.tsv": b"1\t2\n"}))
        assert (job.output_files, job.output_bytes) == (2, 10)
        listed = {file.path: file for file in (await manifest(stage, job)).files}
        assert set(listed) == {"plot.svg", "tables/a b.tsv"}
        assert listed["plot.svg"].sha256 == hashlib.sha256(b"<svg/>").hexdigest()
        assert await stage.blobs.get_bytes(listed["tables/a b.tsv"].key) == b"1\t2\n"

    @pytest.mark.parametrize("name", ["a b", "ü", "100%", "a%20b", "a#b", "a?b", "a\\b", "*", "a:b", "~", "[x]"])
    async def test_may_have_odd_names_in_a_real_store(self, stage: Stage, tmp_path: Path, name: str) -> None:
        stage.blobs = open_blobs(tmp_path / "blobs")
        job = await run(stage, writes({name: b"x", f"./d//{name}": b"y"}))
        listed = {file.path: file for file in (await manifest(stage, job)).files}
        assert set(listed) == {name, f"d/{name}"}
        assert await stage.blobs.get_bytes(listed[name].key) == b"x"

    async def test_of_a_failed_run_are_stored_too(self, stage: Stage) -> None:
        script = writes({"part.txt": b"x"}, kind=OutcomeKind.FAILED)
        job = await run(stage, script, JobState.FAILED)
        assert job.output_files == 1

    async def test_that_lead_outside_or_vanished_are_left_out_and_named(self, stage: Stage, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("secret")

        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            (local_folders(attempt.workspace).work_dir / "link").symlink_to(secret)
            (local_folders(attempt.workspace).work_dir / "folder").symlink_to(secret.parent)
            (local_folders(attempt.workspace).work_dir / "loop").symlink_to("loop")
            (local_folders(attempt.workspace).work_dir / "good").write_text("good")
            (local_folders(attempt.workspace).work_dir / "inside").symlink_to("good")
            os.mkfifo(local_folders(attempt.workspace).work_dir / "pipe")
            outputs = ("link", "folder/secret", "loop", "good", "inside", "gone", "pipe", "../x", str(secret), "a\nb")
            emit(LogWritten(stream=LogStream.ENGINE, text="done\n"))
            return Outcome(kind=OutcomeKind.SUCCEEDED, produced=produced(attempt, *outputs))

        job = await run(stage, script)
        assert [file.path for file in (await manifest(stage, job)).files] == ["good", "inside"]
        for blob in await stage.blobs.list(f"jobs/{job.id}/outputs/"):
            assert b"secret" not in await stage.blobs.get_bytes(blob.key)
        log = await engine_log(stage, job)
        left_out = {"link", "folder/secret", "loop", "pipe", "../x", str(secret)}
        for name in left_out:
            assert f"penstock: {name} is not stored: " in log
        found = await manifest(stage, job)
        assert {item.path for item in found.not_stored} == left_out
        assert found.not_stored_count == len(left_out)
        assert any(warning.startswith("6 files were not stored: ") for warning in job.warnings)

    async def test_that_the_store_takes_at_last_are_stored(self, stage: Stage) -> None:
        stage.blobs = FailingBlobs(3)
        assert (await run(stage, writes({"a": b"x"}))).output_files == 1

    @pytest.mark.slow
    async def test_that_the_store_does_not_take_fail_the_job_with_the_reason(self, stage: Stage) -> None:
        stage.blobs = FailingBlobs(100)
        job = await run(stage, writes({"a": b"x"}), JobState.FAILED)
        assert job.failure is not None
        assert job.failure.cause is FailureCause.SYSTEM
        assert f"the blob store did not take jobs/{job.id}/outputs/a: the store is down" in job.failure.message
        kept = stage.folder / "work" / job.id
        assert f"is kept in {kept} on this runner" in job.failure.message
        assert (kept / "a").read_bytes() == b"x"

    async def test_of_a_second_attempt_replace_the_list_of_the_first(self, stage: Stage) -> None:
        seen: list[tuple[int, bool]] = []

        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            seen.append((attempt.attempt, attempt.resume))
            if attempt.attempt == 1:
                (local_folders(attempt.workspace).work_dir / "half").write_text("half")
                raise RuntimeError("fault")
            assert (local_folders(attempt.workspace).work_dir / "half").read_text() == "half"
            return Outcome(kind=OutcomeKind.SUCCEEDED)

        async with stage.runner(ScriptedEngine(script, needs_files=True)):
            _, joined = await stage.desk.joined()
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, joined.runner_id)
            await stage.desk.reaches(job_id, JobState.QUEUED)
            await stage.desk.assign(job_id, joined.runner_id)
            job = await stage.desk.reaches(job_id, JobState.COMPLETED)
        assert seen == [(1, False), (2, True)]
        assert (await manifest(stage, job)).files == ()


class TestFilesThatAreNoOutputs:
    async def test_logs_of_a_cancelled_run_are_stored(self, stage: Stage) -> None:
        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            (local_folders(attempt.workspace).work_dir / "a.log").write_text("so far")
            (local_folders(attempt.workspace).work_dir / "half").write_text("half")
            await stop.wait()
            left = collect(
                local_folders(attempt.workspace).work_dir,
                Declared(outputs=("half",), logs=("a.log",)),
                source=local_folders(attempt.workspace).source_files,
            )
            return Outcome(kind=OutcomeKind.STOPPED, produced=left)

        async with stage.runner(ScriptedEngine(script, needs_files=True)):
            _, joined = await stage.desk.joined()
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, joined.runner_id)
            await stage.desk.reaches(job_id, JobState.RUNNING)
            await stage.desk.cancel(job_id)
            job = await stage.desk.reaches(job_id, JobState.CANCELLED)
        [file] = (await manifest(stage, job)).files
        assert (file.path, file.kind) == ("a.log", OutputKind.LOG)
        assert await stage.blobs.get_bytes(file.key) == b"so far"

    async def test_undeclared_files_are_listed_and_the_user_is_warned(self, stage: Stage) -> None:
        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            for name in ("out", "one", "two", "three", "four"):
                (local_folders(attempt.workspace).work_dir / name).write_text(name)
            return Outcome(kind=OutcomeKind.SUCCEEDED, produced=produced(attempt, "out"))

        job = await run(stage, script)
        assert job.warnings == (
            "4 undeclared files were not kept: four, one, three and 1 more; "
            "submit with --keep-undeclared to keep such files",
        )
        assert f"penstock: warning: {job.warnings[0]}" in await engine_log(stage, job)
        found = await manifest(stage, job)
        assert [item.path for item in found.undeclared] == ["four", "one", "three", "two"]
        assert (job.output_files, job.output_bytes) == (1, 3)

    async def test_a_second_attempt_knows_what_the_source_was(self, stage: Stage) -> None:
        raw = json.dumps({"files": {"Snakefile": {"text": "rule"}}}).encode()
        await stage.blobs.put_bytes("sources/x.json", raw)
        source = Source(kind=SourceKind.BUNDLE, location="sources/x.json", sha256=hashlib.sha256(raw).hexdigest())

        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            assert set(local_folders(attempt.workspace).source_files or ()) == {"Snakefile"}
            if attempt.attempt == 1:
                (local_folders(attempt.workspace).work_dir / "side.csv").write_text("1")
                raise RuntimeError("fault")
            return Outcome(kind=OutcomeKind.SUCCEEDED, produced=produced(attempt))

        async with stage.runner(ScriptedEngine(script, needs_files=True)):
            _, joined = await stage.desk.joined()
            job_id = await stage.desk.submit(source=source)
            await stage.desk.assign(job_id, joined.runner_id)
            await stage.desk.reaches(job_id, JobState.QUEUED)
            await stage.desk.assign(job_id, joined.runner_id)
            job = await stage.desk.reaches(job_id, JobState.COMPLETED)
        assert [item.path for item in (await manifest(stage, job)).undeclared] == ["side.csv"]


class TestFolders:
    async def test_are_removed_when_the_job_ended(self, stage: Stage) -> None:
        job = await run(stage, writes({"a": b"x"}))
        assert not (stage.folder / "work" / job.id).exists()
        assert not (stage.folder / "logs" / job.id).exists()

    async def test_are_kept_on_demand(self, stage: Stage) -> None:
        stage.keep_work = True
        job = await run(stage, writes({"a": b"x"}))
        assert (stage.folder / "work" / job.id / "a").read_bytes() == b"x"

    async def test_hold_the_source(self, stage: Stage) -> None:
        raw = json.dumps({"files": {"Snakefile": {"text": "rule"}}}).encode()
        await stage.blobs.put_bytes("sources/x.json", raw)
        source = Source(kind=SourceKind.BUNDLE, location="sources/x.json", sha256=hashlib.sha256(raw).hexdigest())

        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            assert (local_folders(attempt.workspace).work_dir / "Snakefile").read_text() == "rule"
            return Outcome(kind=OutcomeKind.SUCCEEDED)

        await run(stage, script, source=source)

    @pytest.mark.parametrize(("engine", "state"), [("mock", JobState.COMPLETED), ("snakemake", JobState.FAILED)])
    async def test_hold_no_files_in_the_reserved_folders_of_their_engine(
        self, stage: Stage, engine: str, state: JobState
    ) -> None:
        raw = json.dumps({"files": {".snakemake/locks/x": {"text": ""}}}).encode()
        await stage.blobs.put_bytes("sources/x.json", raw)
        scripted = ScriptedEngine(succeed, needs_files=True)
        scripted.name = engine
        async with stage.runner(scripted):
            _, joined = await stage.desk.joined()
            source = Source(kind=SourceKind.BUNDLE, location="sources/x.json")
            job_id = await stage.desk.submit(engine=engine, source=source)
            await stage.desk.assign(job_id, joined.runner_id)
            job = await stage.desk.reaches(job_id, state)
        assert (job.failure is None) == (state is JobState.COMPLETED)
        assert job.failure is None or "the folder `.snakemake` belongs to the engine" in job.failure.message

    async def test_a_source_that_cannot_be_used_fails_the_job(self, stage: Stage) -> None:
        source = Source(kind=SourceKind.BUNDLE, location="sources/none.json")
        job = await run(stage, writes({}), JobState.FAILED, source=source)
        assert job.failure is not None
        assert "missing from the blob store" in job.failure.message

    async def test_a_disk_that_is_full_before_the_run_is_reported(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        raw = json.dumps({"files": {"Snakefile": {"text": "rule"}}}).encode()
        await stage.blobs.put_bytes("sources/x.json", raw)

        def full(path: Path, content: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        monkeypatch.setattr(Path, "write_bytes", full)
        job = await run(
            stage, writes({}), JobState.FAILED, source=Source(kind=SourceKind.BUNDLE, location="sources/x.json")
        )
        assert job.failure is not None
        assert job.failure.cause is FailureCause.SYSTEM
        assert "disk is full" in job.failure.message
        assert not (stage.folder / "work" / job.id).exists()


class TestProgress:
    async def test_tasks_logs_and_their_keys_get_out(self, stage: Stage) -> None:
        job = await run(stage, reports)
        [task] = (await stage.tasks.tasks(DEFAULT_TENANT, job.id)).tasks
        assert task.state is TaskState.COMPLETED
        assert task.stdout_key == f"jobs/{job.id}/1/logs/tasks/t1.stdout"
        assert task.stdout_sha256 == hashlib.sha256(b"hello\n").hexdigest()
        assert (task.stderr_key, task.stderr_sha256) == (None, None), "nothing was written"
        digests = json.loads(await stage.blobs.get_bytes(f"jobs/{job.id}/1/logs/engine.json"))
        assert digests == {"engine.log": hashlib.sha256(b"engine output\n").hexdigest()}
        assert await stage.blobs.get_bytes(f"jobs/{job.id}/1/logs/tasks/t1.stdout") == b"hello\n"
        assert await stage.tasks.counts(DEFAULT_TENANT, job.id) == TaskCounts(total=1, done=1)
        chunks = await stage.logs.read(DEFAULT_TENANT, job.id)
        assert "".join(chunk.text for _, chunk in chunks) == "working\n"
        assert await engine_log(stage, job) == "engine output\n"

    async def test_what_a_workflow_prints_is_stored_apart(self, stage: Stage) -> None:
        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            for name, text in (("log", "o1\ne1\n"), ("stdout", "o1\n"), ("stderr", "e1\n")):
                (local_folders(attempt.workspace).log_dir / f"engine.{name}").write_text(text)
            return Outcome(kind=OutcomeKind.SUCCEEDED)

        job = await run(stage, script)
        for name, text in (("log", b"o1\ne1\n"), ("stdout", b"o1\n"), ("stderr", b"e1\n")):
            assert await stage.blobs.get_bytes(f"jobs/{job.id}/1/logs/engine.{name}") == text

    async def test_an_engine_without_files_may_print_too(self, stage: Stage) -> None:
        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            emit(LogWritten(stream=LogStream.WORKFLOW, text="o1\n"))
            emit(LogWritten(stream=LogStream.ENGINE, text="e1\n"))
            return Outcome(kind=OutcomeKind.SUCCEEDED)

        job = await run(stage, script, needs_files=False)
        for name, text in (("log", b"o1\ne1\n"), ("stdout", b"o1\n"), ("stderr", b"e1\n")):
            assert await stage.blobs.get_bytes(f"jobs/{job.id}/1/logs/engine.{name}") == text

    async def test_gets_out_while_the_run_goes_on(self, stage: Stage) -> None:
        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            await reports(attempt, emit, stop)
            await stop.wait()
            return STOPPED

        async with stage.runner(ScriptedEngine(script, needs_files=True)):
            _, joined = await stage.desk.joined()
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, joined.runner_id)

            async def is_seen() -> bool:
                tasks = (await stage.tasks.tasks(DEFAULT_TENANT, job_id)).tasks
                return [task.stdout_key is not None for task in tasks] == [True]

            await eventually(is_seen)

    async def test_that_cannot_get_out_neither_blocks_nor_fails_the_run(self, stage: Stage) -> None:
        board = DownBoard(stage.tasks)
        board.is_down = True
        stage.tasks = board
        job = await run(stage, reports)
        assert job.state is JobState.COMPLETED
        assert await engine_log(stage, job) == "engine output\n"

    async def test_a_tail_that_hangs_neither_blocks_nor_fails_the_run(self, stage: Stage) -> None:
        stage.logs = HangingTail()
        job = await run(stage, reports)
        [task] = (await stage.tasks.tasks(DEFAULT_TENANT, job.id)).tasks
        assert task.stdout_key is not None

    async def test_comes_after_an_outage(self, stage: Stage) -> None:
        board = DownBoard(stage.tasks)
        board.is_down = True
        stage.tasks = board
        is_seen = anyio.Event()

        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            await reports(attempt, emit, stop)
            await is_seen.wait()
            return Outcome(kind=OutcomeKind.SUCCEEDED)

        async with stage.runner(ScriptedEngine(script, needs_files=True)):
            _, joined = await stage.desk.joined()
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, joined.runner_id)
            await stage.desk.reaches(job_id, JobState.RUNNING)
            board.is_down = False

            async def look() -> bool:
                return bool((await stage.tasks.tasks(DEFAULT_TENANT, job_id)).tasks)

            await eventually(look)
            is_seen.set()
            await stage.desk.reaches(job_id, JobState.COMPLETED)

    async def test_of_many_tasks_is_not_sent_again_where_a_part_of_it_got_out(self, stage: Stage) -> None:
        board = StutteringBoard(stage.tasks)
        stage.tasks = board
        names = {f"t{number}" for number in range(5 * TASKS_PER_SEND)}
        is_seen = anyio.Event()

        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            for name in names:
                task = Task(id=name, job_id=attempt.job_id, attempt=1, name="t", state=TaskState.WAITING)
                emit(TaskChanged(task=task))
            await is_seen.wait()
            return Outcome(kind=OutcomeKind.SUCCEEDED)

        async with stage.runner(ScriptedEngine(script, needs_files=True)):
            _, joined = await stage.desk.joined()
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, joined.runner_id)

            async def look() -> bool:
                return board.taken.keys() == names

            await eventually(look)
            is_seen.set()
            await stage.desk.reaches(job_id, JobState.COMPLETED)
        assert set(board.taken.values()) == {1}

    async def test_task_logs_that_the_store_takes_later_are_stored(self, stage: Stage) -> None:
        stage.blobs = FailingBlobs(3)
        job = await run(stage, reports)
        [task] = (await stage.tasks.tasks(DEFAULT_TENANT, job.id)).tasks
        assert task.stdout_key is not None

    @pytest.mark.slow
    async def test_a_lost_log_does_not_hide_why_the_run_failed(self, stage: Stage) -> None:
        stage.blobs = FailingBlobs(100)

        async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            outcome = await reports(attempt, emit, stop)
            return Outcome(kind=OutcomeKind.FAILED, tasks=outcome.tasks)

        job = await run(stage, script, JobState.FAILED)
        assert job.failure is not None
        assert "blob store" not in job.failure.message


async def reports(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
    """Produce some of every kind of output."""
    task = Task(id="t1", job_id=JobId(attempt.job_id), attempt=1, name="rule", state=TaskState.RUNNING)
    log_dir = local_folders(attempt.workspace).log_dir
    (log_dir / "t1.out").write_text("hello\n")
    (log_dir / "t1.err").write_text("")
    (log_dir / "engine.log").write_text("engine output\n")
    counts = TaskCounts(total=1, done=1)
    ended = Task(id="t1", job_id=attempt.job_id, attempt=1, name="rule", state=TaskState.COMPLETED, exit_code=0)
    emit(TaskChanged(task=task))
    emit(LogWritten(stream=LogStream.STDOUT, text="working\n", task_id="t1"))
    emit(TaskChanged(task=ended, stdout="t1.out", stderr="t1.err"))
    emit(CountsChanged(counts=counts))
    return Outcome(kind=OutcomeKind.SUCCEEDED, tasks=counts)
