"""The runner, orders in and events out: on the in-memory cluster and on a real server."""

import errno
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs
from tests.conftest import NatsServer
from tests.runner.conftest import TERMS, Stage
from tests.runner.faults import DeafHeartbeats, FaultyLog
from tests.runner.runner_harness import eventually

from penstock_domain import aggregates
from penstock_domain.chain import link
from penstock_execution.engine import Attempt, Emit, Outcome
from penstock_jetstream import connect
from penstock_ports import AppendEntry, Conflict, LogFull, Unavailable
from penstock_runner import registration
from penstock_runner.attempts import attempt as attempt_module
from penstock_runtime.runtime import Runtime
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.events import AttemptAssigned, AttemptStarted, JobCompleted, JobRequeued, RecordDamaged
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId
from penstock_schemas.jobs import Failure, FailureCause, JobState, RequeueCause, TaskCounts
from penstock_testing.memory import MemoryCluster
from penstock_testing.scripted_engine import STOPPED, Script, ScriptedEngine, ignore_stop, succeed, until_stopped


@pytest.fixture(params=["memory", "jetstream"])
async def stage(request: pytest.FixtureRequest, nats_server: NatsServer, tmp_path: Path) -> AsyncGenerator[Stage]:
    if request.param == "memory":
        yield Stage(MemoryCluster(), tmp_path / "state")
    else:
        async with connect(nats_server.new_settings()) as cluster:
            yield Stage(cluster, tmp_path / "state")


async def join(stage: Stage, *, after: int = 0) -> RunnerId:
    return (await stage.desk.joined(after=after))[1].runner_id


async def running(engine: ScriptedEngine, count: int = 1) -> None:
    async def look() -> bool:
        return len(engine.running) == count

    await eventually(look)


class SuspendedMachine(Runtime):
    """A machine that was suspended for `slept_s` seconds."""

    slept_s = 0.0

    def boot_time(self) -> float:
        return anyio.current_time() + self.slept_s


class TestAttempts:
    async def test_a_runner_joins_with_its_description(self, stage: Stage) -> None:
        async with stage.runner(ScriptedEngine()):
            _, joined = await stage.desk.joined()
            assert (joined.name, joined.slots, joined.engines) == ("test", 2, {"scripted": "1"})
            assert joined.runner_id.startswith("test-")
            assert joined.runner_id in await stage.heartbeats.runners()

    async def test_an_attempt_starts_and_completes(self, stage: Stage) -> None:
        async with stage.runner(ScriptedEngine(succeed)):
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, await join(stage))
            await stage.desk.reaches(job_id, JobState.COMPLETED)
            assert await stage.desk.types(job_id) == ["JobSubmitted", "JobAssigned", "AttemptStarted", "JobCompleted"]
            *_, started, completed = await stage.desk.history(job_id)
            assert completed.event.cause == started.event.id

    async def test_a_workflows_failure_is_reported_and_cut_to_the_limit(self, stage: Stage) -> None:
        failure = Failure(
            cause=FailureCause.WORKFLOW, message="bad" * 10_000, rule="r", exit_code=3, stderr_tail="x" * 10**6 + "end"
        )

        async def fail(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            return Outcome(kind=OutcomeKind.FAILED, failure=failure, tasks=TaskCounts(total=1, failed=1))

        async with stage.runner(ScriptedEngine(fail)):
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, await join(stage))
            job = await stage.desk.reaches(job_id, JobState.FAILED)
        assert job.failure is not None
        assert (job.failure.rule, job.failure.exit_code, job.tasks.failed) == ("r", 3, 1)
        assert job.failure.stderr_tail is not None
        assert job.failure.stderr_tail.endswith("end")
        assert len(job.failure.stderr_tail) < 20_000
        assert len(job.failure.message) < 5_000

    async def test_no_more_run_than_there_are_slots_and_all_are_made(self, stage: Stage) -> None:
        async def briefly(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            await anyio.lowlevel.checkpoint()
            return await succeed(attempt, emit, stop)

        engine = ScriptedEngine(briefly)
        async with stage.runner(engine):
            runner_id = await join(stage)
            jobs = [await stage.desk.submit() for _ in range(4)]
            for job_id in jobs:
                await stage.desk.assign(job_id, runner_id)
            for job_id in jobs:
                await stage.desk.reaches(job_id, JobState.COMPLETED)
        assert engine.most_running <= 2

    async def test_an_engine_that_is_not_here_is_refused(self, stage: Stage) -> None:
        async with stage.runner(ScriptedEngine()):
            job_id = await stage.desk.submit(engine="nextflow")
            await stage.desk.assign(job_id, await join(stage))
            job = await stage.desk.reaches(job_id, JobState.QUEUED)
        assert job.requeue_reason == "the runner has no engine 'nextflow'"

    async def test_an_order_that_comes_twice_runs_once(self, stage: Stage) -> None:
        engine = ScriptedEngine(succeed)
        async with stage.runner(engine):
            runner_id = await join(stage)
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, runner_id)
            again = AttemptAssigned(job_id=job_id, tenant=DEFAULT_TENANT, attempt=1, job_version=2)
            for _ in range(3):
                await stage.desk.append(aggregates.assign(runner_id), again)
            other = await stage.desk.submit()
            await stage.desk.assign(other, runner_id)
            await stage.desk.reaches(other, JobState.COMPLETED)
        assert engine.started == [(job_id, 1), (other, 1)]
        assert (await stage.desk.types(job_id)).count("JobCompleted") == 1

    async def test_an_order_of_a_former_attempt_is_dropped(self, stage: Stage) -> None:
        engine = ScriptedEngine(succeed)
        async with stage.runner(engine):
            runner_id = await join(stage)
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, RunnerId("other-00000000"))
            stale = AttemptAssigned(job_id=job_id, tenant=DEFAULT_TENANT, attempt=1, job_version=2)
            await stage.desk.append(aggregates.assign(runner_id), stale)
            other = await stage.desk.submit()
            await stage.desk.assign(other, runner_id)
            await stage.desk.reaches(other, JobState.COMPLETED)
        assert engine.started == [(other, 1)]
        assert (await stage.desk.job(job_id)).state is JobState.ASSIGNED


class TestCancel:
    async def test_what_runs_is_stopped(self, stage: Stage) -> None:
        engine = ScriptedEngine()
        async with stage.runner(engine):
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, await join(stage))
            await stage.desk.reaches(job_id, JobState.RUNNING)
            await stage.desk.cancel(job_id)
            job = await stage.desk.reaches(job_id, JobState.CANCELLED)
            assert job.cancel_reason == "enough"
            assert not engine.killed, "it stopped by itself"

    async def test_an_engine_that_does_not_listen_is_killed(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attempt_module, "HALT_GRACE_S", 0.05)
        engine = ScriptedEngine(ignore_stop)
        async with stage.runner(engine):
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, await join(stage))
            await stage.desk.reaches(job_id, JobState.RUNNING)
            await stage.desk.cancel(job_id)
            await stage.desk.reaches(job_id, JobState.CANCELLED)
        assert engine.killed == [(job_id, 1)]

    async def test_an_attempt_that_succeeds_before_it_receives_the_stop_has_completed(self, stage: Stage) -> None:
        async def succeed_anyway(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            await stop.wait()
            return Outcome(kind=OutcomeKind.SUCCEEDED)

        async with stage.runner(ScriptedEngine(succeed_anyway)):
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, await join(stage))
            await stage.desk.reaches(job_id, JobState.RUNNING)
            await stage.desk.cancel(job_id)
            await stage.desk.reaches(job_id, JobState.COMPLETED)

    async def test_what_waits_behind_others_ends_at_once(self, stage: Stage) -> None:
        engine = ScriptedEngine()
        async with stage.runner(engine, terms=replace(TERMS, slots=1)):
            runner_id = await join(stage)
            first, second = await stage.desk.submit(), await stage.desk.submit()
            await stage.desk.assign(first, runner_id)
            await stage.desk.reaches(first, JobState.RUNNING)
            await stage.desk.assign(second, runner_id)
            await stage.desk.cancel(second)
            await stage.desk.reaches(second, JobState.CANCELLED)
        assert (second, 1) not in engine.started

    async def test_a_cancel_just_before_the_start_wins(self, stage: Stage) -> None:
        faulty = FaultyLog(stage.log)
        stage.log = faulty

        async def cancel_first(entry: AppendEntry) -> None:
            if isinstance(entry.event.data, AttemptStarted):
                await stage.desk.cancel(job_id)

        engine = ScriptedEngine(succeed)
        async with stage.runner(engine):
            job_id = await stage.desk.submit()
            faulty.before = cancel_first
            await stage.desk.assign(job_id, await join(stage))
            await stage.desk.reaches(job_id, JobState.CANCELLED)
        assert engine.started == []

    async def test_a_stop_of_what_already_ended_changes_nothing(self, stage: Stage) -> None:
        async with stage.runner(ScriptedEngine(succeed)):
            runner_id = await join(stage)
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, runner_id)
            await stage.desk.reaches(job_id, JobState.COMPLETED)
            await stage.desk.stop(job_id, runner_id, 1)
            other = await stage.desk.submit()
            await stage.desk.assign(other, runner_id)
            await stage.desk.reaches(other, JobState.COMPLETED)
        assert (await stage.desk.types(job_id))[-1] == "JobCompleted"


class TestFaults:
    async def test_a_wild_exception_gives_the_job_another_attempt_with_the_reason(self, stage: Stage) -> None:
        async def explode(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            if attempt.attempt == 1:
                raise RuntimeError("the zygote died")
            return Outcome(kind=OutcomeKind.SUCCEEDED)

        async with stage.runner(ScriptedEngine(explode)):
            runner_id = await join(stage)
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, runner_id)
            await stage.desk.reaches(job_id, JobState.QUEUED)
            requeued = (await stage.desk.history(job_id))[-1].event.data
            assert isinstance(requeued, JobRequeued)
            assert requeued.cause is RequeueCause.LOST
            assert "RuntimeError: the zygote died" in requeued.reason
            await stage.desk.assign(job_id, runner_id)
            await stage.desk.reaches(job_id, JobState.COMPLETED)

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    async def test_a_full_disk_is_reported_as_one(self, stage: Stage, number: int) -> None:
        async def fill(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            raise ExceptionGroup("several", [OSError(number, "no space left")])

        async with stage.runner(ScriptedEngine(fill)):
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, await join(stage))
            job = await stage.desk.reaches(job_id, JobState.FAILED)
        assert job.failure is not None
        assert job.failure.cause is FailureCause.SYSTEM
        assert "disk is full" in job.failure.message

    async def test_an_engine_that_stops_without_a_request_has_not_cancelled_the_job(self, stage: Stage) -> None:
        async def stop_without_request(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            return STOPPED

        async with stage.runner(ScriptedEngine(stop_without_request)):
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, await join(stage))
            job = await stage.desk.reaches(job_id, JobState.QUEUED)
        assert job.requeue_reason is not None
        assert "without a request to stop" in job.requeue_reason

    @pytest.mark.parametrize("event_type", [AttemptStarted, JobCompleted])
    @pytest.mark.parametrize("is_stored", [True, False])
    async def test_an_append_that_got_no_answer_is_made_once(
        self, stage: Stage, event_type: type[object], is_stored: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("penstock_runner.attempts.job_log.RETRY_PAUSE_S", 0.01)
        faulty = FaultyLog(stage.log)
        stage.log = faulty
        failures: list[str] = []

        async def lose_once(entry: AppendEntry) -> None:
            if isinstance(entry.event.data, event_type) and not failures:
                failures.append(entry.event.id)
                raise Unavailable("no answer")

        if is_stored:
            faulty.after = lose_once
        else:
            faulty.before = lose_once
        engine = ScriptedEngine(succeed)
        async with stage.runner(engine):
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, await join(stage))
            await stage.desk.reaches(job_id, JobState.COMPLETED)
        assert len(failures) == 1
        assert engine.started == [(job_id, 1)]
        assert await stage.desk.types(job_id) == ["JobSubmitted", "JobAssigned", "AttemptStarted", "JobCompleted"]

    async def test_a_full_log_is_waited_for(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("penstock_runner.attempts.job_log.RETRY_PAUSE_S", 0.01)
        faulty = FaultyLog(stage.log)
        stage.log = faulty
        refused: list[str] = []

        async def full_for_a_while(entry: AppendEntry) -> None:
            if isinstance(entry.event.data, JobCompleted) and len(refused) < 3:
                refused.append(entry.event.id)
                raise LogFull("full")

        faulty.before = full_for_a_while
        async with stage.runner(ScriptedEngine(succeed)):
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, await join(stage))
            await stage.desk.reaches(job_id, JobState.COMPLETED)


class TestContainment:
    """A report of one attempt that fails does not end the others."""

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("penstock_runner.session.REPORT_PAUSES_S", (0.01, 0.05))

    async def test_an_attempt_whose_end_is_refused_is_given_back(self, stage: Stage) -> None:
        stage.log = faulty = FaultyLog(stage.log)
        engine = ScriptedEngine(until_stopped)
        async with stage.runner(engine):
            runner_id = await join(stage)
            other, unlucky = await stage.desk.submit(), await stage.desk.submit()
            await stage.desk.assign(other, runner_id)
            await running(engine)

            async def always_faster(entry: AppendEntry) -> None:
                if isinstance(entry.event.data, JobCompleted):
                    raise Conflict("somebody else was faster")

            faulty.before, engine.script = always_faster, succeed
            await stage.desk.assign(unlucky, runner_id)
            job = await stage.desk.reaches(unlucky, JobState.QUEUED)
            assert job.requeue_reason is not None
            assert "TooManyConflicts" in job.requeue_reason
            assert engine.running == {(other, 1)}, "the other goes on"
            assert await stage.desk.event_types(runner_id) == ["RunnerJoined"]

    async def test_a_job_that_cannot_be_read_is_given_back_as_soon_as_it_can_be(self, stage: Stage) -> None:
        stage.log = faulty = FaultyLog(stage.log)
        engine = ScriptedEngine(succeed)
        async with stage.runner(engine):
            runner_id = await join(stage)
            strange, other = await stage.desk.submit(), await stage.desk.submit()
            faulty.unreadable.add(aggregates.job(DEFAULT_TENANT, strange))
            with capture_logs() as lines:
                await stage.desk.assign(strange, runner_id)
                await stage.desk.assign(other, runner_id)
                await stage.desk.reaches(other, JobState.COMPLETED)

                async def is_recorded() -> bool:
                    return len([line for line in lines if line["event"] == "attempt_not_reported"]) > 1

                await eventually(is_recorded)
            faulty.unreadable.clear()
            await stage.desk.reaches(strange, JobState.QUEUED)
            assert await stage.desk.event_types(runner_id) == ["RunnerJoined"]
        assert engine.started == [(other, 1)]


class TestLease:
    async def test_a_runner_whose_heartbeats_are_lost_kills_its_work_and_joins_as_another(self, stage: Stage) -> None:
        heartbeats = DeafHeartbeats(stage.heartbeats)
        stage.heartbeats = heartbeats
        engine = ScriptedEngine(ignore_stop)
        async with stage.runner(engine, terms=replace(TERMS, lease_s=0.5)):
            seq, joined = await stage.desk.joined()
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, joined.runner_id)
            await running(engine)
            heartbeats.is_deaf = True
            await running(engine, 0)
            assert engine.killed == [(job_id, 1)]
            assert (await stage.desk.job(job_id)).state is JobState.RUNNING, "other services decide about it"
            heartbeats.is_deaf = False
            second = await join(stage, after=seq)
            assert second != joined.runner_id
            assert (await stage.desk.event_types(joined.runner_id))[-1] == "RunnerLeft"

    async def test_a_runner_that_is_declared_lost_kills_its_work_at_once(self, stage: Stage) -> None:
        engine = ScriptedEngine(ignore_stop)
        async with stage.runner(engine):
            seq, joined = await stage.desk.joined()
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, joined.runner_id)
            await running(engine)
            await stage.desk.declare_lost(joined.runner_id)
            await running(engine, 0)
            assert await join(stage, after=seq) != joined.runner_id
            assert (await stage.desk.event_types(joined.runner_id))[-1] == "RunnerLost", "nobody leaves twice"

    @pytest.mark.parametrize("name", [aggregates.assign, aggregates.runner])
    async def test_a_runner_whose_orders_or_life_are_damaged_starts_again(
        self, stage: Stage, name: Callable[[RunnerId], str]
    ) -> None:
        engine = ScriptedEngine(ignore_stop)
        async with stage.runner(engine):
            seq, joined = await stage.desk.joined()
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, joined.runner_id)
            await running(engine)
            aggregate = name(joined.runner_id)
            head = await stage.log.head(aggregate)
            damage = RecordDamaged(damaged_seq=head.seq + 1, reason="the event is missing")
            event_id, time = EventId(uuid4().hex), datetime.now(UTC)
            event = link(head, aggregate, damage, event_id=event_id, time=time, actor="scheduler:s")
            await stage.log.append([AppendEntry(event, head.seq)])
            await running(engine, 0)
            assert await join(stage, after=seq) != joined.runner_id, "its jobs go to another, which may be itself"

    async def test_a_runner_whose_registration_is_lost_joins_as_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registration, "CHECK_S", 0.05)
        cluster = MemoryCluster()
        stage = Stage(cluster, tmp_path / "state")
        async with stage.runner(ScriptedEngine(succeed)):
            seq, joined = await stage.desk.joined()
            cluster.log.damage(seq, None)
            again = await join(stage, after=seq)
            assert again != joined.runner_id
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, again)
            await stage.desk.reaches(job_id, JobState.COMPLETED)

    async def test_a_machine_that_slept_wakes_up_without_the_right_to_work(self, stage: Stage) -> None:
        machine = SuspendedMachine()
        engine = ScriptedEngine(ignore_stop)
        heartbeats = DeafHeartbeats(stage.heartbeats)
        stage.heartbeats = heartbeats
        async with stage.runner(engine, runtime=machine):
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, await join(stage))
            await running(engine)
            heartbeats.is_deaf = True
            machine.slept_s = 60.0
            with anyio.fail_after(2):
                await running(engine, 0)
            heartbeats.is_deaf = False


class TestDrain:
    async def test_what_runs_is_finished_and_then_it_leaves(self, stage: Stage) -> None:
        done = anyio.Event()

        async def until_done(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
            await done.wait()
            return Outcome(kind=OutcomeKind.SUCCEEDED)

        async with stage.runner(ScriptedEngine(until_done)) as shutdown:
            runner_id = await join(stage)
            job_id, late = await stage.desk.submit(), await stage.desk.submit()
            await stage.desk.assign(job_id, runner_id)
            await stage.desk.reaches(job_id, JobState.RUNNING)
            shutdown.request()
            await self._records(stage, runner_id, "RunnerDraining")
            await stage.desk.assign(late, runner_id)
            refused = await stage.desk.reaches(late, JobState.QUEUED)
            assert refused.requeue_reason == "the runner is draining"
            assert (await stage.heartbeats.runners())[runner_id].name == "test"
            done.set()
            await stage.desk.reaches(job_id, JobState.COMPLETED)
            await self._records(stage, runner_id, "RunnerLeft")

            async def is_silent() -> bool:
                return runner_id not in await stage.heartbeats.runners()

            await eventually(is_silent)

    async def test_what_takes_too_long_is_stopped_and_given_back(self, stage: Stage) -> None:
        engine = ScriptedEngine()
        async with stage.runner(engine, terms=replace(TERMS, drain_timeout_s=0.05)) as shutdown:
            runner_id = await join(stage)
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, runner_id)
            await stage.desk.reaches(job_id, JobState.RUNNING)
            shutdown.request()
            await self._records(stage, runner_id, "RunnerLeft")
        await self._was_preempted(stage, job_id)
        assert not engine.killed

    @pytest.mark.parametrize("script", [None, ignore_stop])
    async def test_a_second_request_makes_it_leave_at_once(
        self, stage: Stage, script: Script | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attempt_module, "HALT_GRACE_S", 0.1)
        engine = ScriptedEngine(script) if script else ScriptedEngine()
        async with stage.runner(engine, terms=replace(TERMS, drain_timeout_s=3600)) as shutdown:
            runner_id = await join(stage)
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, runner_id)
            await stage.desk.reaches(job_id, JobState.RUNNING)
            shutdown.request()
            shutdown.request()
            await self._records(stage, runner_id, "RunnerLeft")
        await self._was_preempted(stage, job_id)

    async def test_what_is_cancelled_meanwhile_is_cancelled(self, stage: Stage) -> None:
        async with stage.runner(ScriptedEngine(), terms=replace(TERMS, drain_timeout_s=0.05)) as shutdown:
            runner_id = await join(stage)
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, runner_id)
            await stage.desk.reaches(job_id, JobState.RUNNING)
            await stage.desk.cancel(job_id, order_stop=False)
            shutdown.request()
            await stage.desk.reaches(job_id, JobState.CANCELLED)

    async def test_a_runner_that_has_not_joined_leaves_without_an_event(self, stage: Stage) -> None:
        heartbeats = DeafHeartbeats(stage.heartbeats)
        heartbeats.is_deaf = True
        stage.heartbeats = heartbeats
        with anyio.fail_after(5):
            async with stage.runner(ScriptedEngine()):
                pass
        assert await stage.log.last_seq() == 0

    async def _records(self, stage: Stage, runner_id: RunnerId, word: str) -> None:
        async def look() -> bool:
            return word in await stage.desk.event_types(runner_id)

        await eventually(look)

    async def _was_preempted(self, stage: Stage, job_id: JobId) -> None:
        requeued = (await stage.desk.history(job_id))[-1].event.data
        assert isinstance(requeued, JobRequeued)
        assert requeued.cause is RequeueCause.PREEMPTED
