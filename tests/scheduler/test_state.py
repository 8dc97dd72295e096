"""The fold: replay equals live, a snapshot equals a replay, and the indexed queue decides what a plain one would."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduler.history import History, job, started

from penstock_domain import aggregates
from penstock_domain.chain import Stored, digest, link
from penstock_domain.job.evolve import evolve
from penstock_domain.job.evolve import fold as fold_job
from penstock_domain.scheduling.demands import engine_of
from penstock_domain.scheduling.waiting import why
from penstock_scheduler.core.decision import Observations, decide
from penstock_scheduler.core.records import LiveJob, RunnerStatus
from penstock_scheduler.core.replay import check_decisions
from penstock_scheduler.core.snapshots import UnreadableSnapshot, compress, encode_state, restore_state
from penstock_scheduler.core.state import SchedulerState, fold
from penstock_scheduler.core.summary import MAX_HOLDERS_OF_OWNER, summarize
from penstock_schemas.api import Waiting, WaitReason
from penstock_schemas.events import CycleDecided, JobClosed, ResultsDelayed
from penstock_schemas.ids import DEFAULT_TENANT, EventId, RunnerId
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Head, Job, JobLifecycle
from penstock_schemas.wire import encode

ENGINES = ("mock", "snakemake", "cwl")
OWNERS = ("ada", "bob", "eve")
DIRECTIVES: tuple[tuple[str, ...], ...] = ((), ("conda",), ("container",), ("conda", "container"))
ACTIONS = st.tuples(
    st.sampled_from(
        ["submit"] * 5
        + ["cycle"] * 6
        + ["start", "complete", "cancel", "hold", "release", "join", "drain", "leave", "lost", "wait"]
        + ["owner limit", "global limit", "few", "delay", "damage", "close", "foreign damage"]
    ),
    st.integers(0, 1000),
)


def may_run(state: SchedulerState, demand: str, runner_id: RunnerId) -> bool:
    """Return whether no runner with the engine provides more of what a job declares than this one."""
    engine, *declares = demand.split("+")
    provided = {
        runner.id: len(set(declares) & set(runner.provides))
        for runner in state.runners.values()
        if engine in runner.engines and not runner.state.is_over
    }
    return runner_id in provided and provided[runner_id] == max(provided.values())


def plain_starts(state: SchedulerState, history: History, capacity: int) -> list[tuple[int, str]]:
    """Apply the same rules without any index: check the whole queue, job by job."""
    free = {
        runner.id: state.free_slots(runner) for runner in state.runners.values() if runner.state is RunnerStatus.ACTIVE
    }
    held = dict(state.slots_used_by)
    limit, owner_limit = state.limit("global"), state.limit("owner")
    running = state.slots_used
    starts: list[tuple[int, str]] = []
    for queued in sorted(state.queue, key=lambda queued: queued.key):
        owner = queued.account
        fitting = [r for r, slots in free.items() if slots > 0 and may_run(state, queued.demand, r)]
        is_full = len(starts) >= capacity or (limit is not None and running >= limit)
        is_late = queued.not_before is not None and queued.not_before > history.now
        is_over = owner_limit is not None and held.get(owner, 0) >= owner_limit
        if is_full or is_late or is_over or not fitting:
            continue
        runner_id = min(fitting, key=lambda r: (-free[r], r))
        free[runner_id] -= 1
        held[owner] = held.get(owner, 0) + 1
        running += 1
        starts.append((UUID(queued.life.id).int, runner_id))
    return starts


def act(history: History, action: str, number: int) -> None:
    state = history.state
    live = sorted(state.jobs.values(), key=lambda job: job.created_seq)
    runners = sorted(state.runners)
    one: LiveJob | None = live[number % len(live)] if live else None
    runner = RunnerId(runners[number % len(runners)]) if runners else None
    match action:
        case "submit":
            history.submit(
                history.ids,
                owner=OWNERS[number % 3],
                engine=ENGINES[number // 3 % 3],
                priority=(number // 9 % 3) - 1,
                hold=number % 7 == 0,
                requeue=number % 5 > 0,
                declares=DIRECTIVES[number % 4],
            )
        case "cycle" | "few":
            bound = 12 if action == "few" else 1000
            expected = plain_starts(
                state, history, (bound - 1 - len(state.orphaned_jobs) - len(state.pending_stops)) // 2
            )
            decision = history.cycle(max_entries=bound)
            if not state.orphaned_jobs:
                assert started(decision) == expected
        case "lost" if runner is not None:
            history.cycle(Observations({runner: 11.5}))
        case "join":
            engines = ENGINES[: 1 + number % 3] if number % 2 else ENGINES[number % 3 :]
            history.join(f"r{history.ids}", 1 + number % 4, *engines, provides=DIRECTIVES[number // 4 % 4])
        case "drain" if runner is not None:
            history.drain(runner)
        case "leave" if runner is not None:
            history.leave(runner)
        case "start" if one is not None and one.life.state is JobState.ASSIGNED and one.life.runner_id:
            history.start(UUID(one.life.id).int, one.life.runner_id, one.life.attempt)
        case "complete" if one is not None and one.life.state.holds_slot and one.life.runner_id:
            history.complete(UUID(one.life.id).int, one.life.runner_id, one.life.attempt)
        case "cancel" if one is not None and one.life.state is not JobState.CANCELLING:
            cancel = history.cancel_running if one.life.state.holds_slot else history.cancel_waiting
            cancel(UUID(one.life.id).int)
        case "hold" if one is not None and one.life.state is JobState.QUEUED:
            history.hold(UUID(one.life.id).int)
        case "release" if one is not None and one.life.state is JobState.HELD:
            history.release(UUID(one.life.id).int)
        case "delay" if (
            one is not None and one.life.state is JobState.RUNNING and one.life.runner_id and not one.life.damage
        ):
            delayed = ResultsDelayed(
                attempt=one.life.attempt, runner_id=one.life.runner_id, tries=2, reason="the store is unavailable"
            )
            history.add_event(UUID(one.life.id).int, delayed)
        case "damage" if one is not None:
            history.damage(UUID(one.life.id).int)
        case "close" if damaged := [job for job in live if job.life.damage]:
            history.close(UUID(damaged[0].life.id).int)
        case "foreign damage":
            names = ["scheduler.lease", "scheduler.cycle", "policy.limit.owner", "policy.limit.global", ""]
            names += [f"{kind}.{runner}" for kind in ("runner", "assign")] if runner is not None else []
            history.put_unreadable(names[number % len(names)])
        case "wait":
            history.wait(number % 20)
        case "owner limit":
            history.limit("owner", number % 4 or None)
        case "global limit":
            history.limit("global", number % 9 or None)
        case _:
            pass


def check_summary(state: SchedulerState) -> None:
    """The summary agrees with a look at every job and runner."""
    summary = summarize(state)
    runners = [runner for runner in state.runners.values() if runner.state is RunnerStatus.ACTIVE]
    for engine, queue in summary.engines.items():
        fitting = [runner for runner in runners if engine in runner.engines]
        assert queue.slots == sum(runner.slots for runner in fitting)
        assert queue.free == sum(max(0, state.free_slots(runner)) for runner in fitting)
        waiting = [job for job in state.queue if engine_of(job.demand) == engine and job.not_before is None]
        assert queue.waiting == len(waiting)
        assert queue.first == tuple(job.life.id for job in sorted(waiting, key=lambda job: job.key))
        held = [job for job in state.jobs.values() if job.life.runner_id in {runner.id for runner in fitting}]
        assert {holder.job_id for holder in queue.holders} == {job.life.id for job in held if job.life.state.holds_slot}
    assert summary.running == state.slots_used == len(summary.holders)
    for load in summary.full_owners:
        jobs = [job for job in state.jobs.values() if job.account == (load.tenant, load.owner)]
        oldest = sorted((job for job in jobs if job.life.state.holds_slot), key=lambda job: job.created_seq)
        assert [holder.job_id for holder in load.holders] == [job.life.id for job in oldest[:MAX_HOLDERS_OF_OWNER]]
    assert {(account.tenant, account.owner) for account in summary.full_owners} == state.queue.suspended_owners()


def check_indices(state: SchedulerState) -> None:
    check_summary(state)
    """Counters kept along the way equal a new count."""
    holding = [job for job in state.jobs.values() if job.life.state.holds_slot]
    assert state.slots_used == len(holding) == sum(state.slots_used_by.values())
    waiting = [job for job in state.jobs.values() if job.life.state is JobState.QUEUED]
    assert {job.life.id for job in state.queue} == {job.life.id for job in waiting if not job.life.damage}
    held = [job for job in state.jobs.values() if job.life.state is JobState.HELD]
    assert len(state.jobs) == len(holding) + len(waiting) + len(held)
    assert {a for held in state.jobs_by_runner.values() for a in held} == {job.aggregate for job in holding}
    assert all(state.jobs_by_runner.values())
    for runner in state.runners.values():
        assert not runner.state.is_over or state.jobs_by_runner.get(runner.id)
    assert state.orphaned_jobs == {
        job.aggregate
        for job in holding
        if job.life.runner_id and state.runners[job.life.runner_id].state.is_over and not job.life.damage
    }


@given(st.lists(ACTIONS, max_size=60), st.integers(0, 100))
@settings(max_examples=150, deadline=None)
def test_replay_equals_live_and_snapshots_equal_replay(actions: list[tuple[str, int]], cut: int) -> None:
    history = History()
    for action, number in actions:
        act(history, action, number)
        check_indices(history.state)
    live = encode_state(history.state)
    replayed = fold(history.stored)
    check_indices(replayed)
    assert encode_state(replayed) == live
    middle = history.stored[: cut * len(history.stored) // 100]
    resumed = restore_state(compress(encode_state(fold(middle))), seq=len(middle))
    resumed.apply_all(history.stored[len(middle) :])
    check_indices(resumed)
    assert encode_state(resumed) == live
    cycle_id = EventId("next")
    later = history.now + timedelta(seconds=30)
    decisions = [decide(state, later, cycle_id=cycle_id) for state in (history.state, replayed, resumed)]
    assert msgspec.to_builtins(decisions[0]) == msgspec.to_builtins(decisions[1]) == msgspec.to_builtins(decisions[2])
    assert list(check_decisions(history.stored)) == []


@given(st.lists(ACTIONS, max_size=60))
@settings(max_examples=60, deadline=None)
def test_the_slim_fold_agrees_with_the_job_core(actions: list[tuple[str, int]]) -> None:
    history = History()
    jobs: dict[str, Job | None] = {}
    for action, number in actions:
        act(history, action, number)
    for stored in history.stored:
        jobs[stored.event.aggregate] = evolve(jobs.get(stored.event.aggregate), stored)
    whole = {name: folded for name, folded in jobs.items() if folded is not None and not folded.state.is_terminal}
    assert whole.keys() == history.state.jobs.keys()
    for name, folded in whole.items():
        slim = history.state.jobs[name]
        for field in JobLifecycle.__struct_fields__:
            assert getattr(slim.life, field) == getattr(folded, field), field
        assert (slim.created_seq, slim.priority, slim.owner) == (
            folded.created_seq,
            folded.spec.priority,
            folded.spec.owner,
        )


def test_a_changed_decision_is_found_by_the_replay() -> None:
    history = History()
    history.join("r", 1)
    history.submit(1)
    history.submit(2)
    history.cycle()
    assert list(check_decisions(history.stored)) == []
    cycle = history.stored[4]
    decided = cycle.event.data
    assert isinstance(decided, CycleDecided)
    assigned = (msgspec.structs.replace(decided.assigned[0], job_id=job(2)),)
    event = msgspec.structs.replace(cycle.event, data=msgspec.structs.replace(decided, assigned=assigned))
    history.stored[4] = msgspec.structs.replace(cycle, event=event)
    (difference,) = check_decisions(history.stored)
    assert difference.seq == cycle.seq
    assert difference.expected.assigned[0].job_id == job(1)


def test_events_that_a_cycle_had_not_seen_do_not_count_against_it() -> None:
    history = History()
    history.join("r", 1)
    history.submit(1)
    before = list(history.stored)
    history.cycle()
    decided = history.stored[len(before) :]
    late = History()
    late.join("r", 1)
    late.submit(1)
    late.submit(2, priority=9)
    for stored in decided:
        late.add(stored.event.aggregate, stored.event.data)
    assert list(check_decisions(late.stored)) == []


@pytest.mark.parametrize(
    "raw", [b"", b"nonsense", compress(b""), compress(b"\xc0"), compress(msgspec.msgpack.encode([1]))]
)
def test_an_unreadable_snapshot_is_reported(raw: bytes) -> None:
    with pytest.raises(UnreadableSnapshot):
        restore_state(raw, seq=0)


def test_a_snapshot_of_another_version_or_place_is_not_used() -> None:
    state = History().state
    other = msgspec.structs.replace(state.snapshot(), version=0)
    with pytest.raises(UnreadableSnapshot, match="version 0"):
        restore_state(compress(msgspec.msgpack.encode(other)), seq=state.seq)
    with pytest.raises(UnreadableSnapshot, match="sequence 9"):
        restore_state(compress(encode_state(state)), seq=9)


def test_why_a_job_waits() -> None:
    history = History()

    def waiting(number: int) -> Waiting | None:
        aggregate = f"job.default.{job(number)}"
        found = fold_job([stored for stored in history.stored if stored.event.aggregate == aggregate])
        assert found is not None
        delay_s = 0.0 if found.not_before is None else (found.not_before - history.now).total_seconds()
        return why(found, summarize(history.state), None, delay_s, is_led=True)

    def reason(number: int) -> tuple[WaitReason, int | None] | None:
        wait = waiting(number)
        return None if wait is None else (wait.reason, wait.position)

    history.submit(1)
    assert reason(1) == (WaitReason.NO_RUNNER, None)
    history.join("r", 2)
    assert reason(1) == (WaitReason.NEXT, 1)
    history.limit("owner", 1)
    history.cycle()
    assert reason(1) is None
    history.submit(2)
    history.submit(3, owner="bob")
    assert reason(2) == (WaitReason.OWNER_LIMIT, 1)
    history.limit("global", 1)
    assert reason(3) == (WaitReason.GLOBAL_LIMIT, 2)
    history.limit("global", None)
    history.cycle()
    history.submit(4, owner="eve")
    assert reason(4) == (WaitReason.NO_SLOT, 2)
    for attempt in (1, 2):
        history.leave(RunnerId("r" if attempt == 1 else "s"))
        history.cycle()
        if attempt == 1:
            history.join("s", 3)
            history.cycle()
    assert reason(1) == (WaitReason.BACK_OFF, None)
    wait = waiting(1)
    assert wait is not None
    assert wait.text == "the next attempt may start in 1 s"
    history.hold(1)
    assert reason(1) == (WaitReason.HELD, None)


def test_closing_frees_the_slot_also_where_the_damage_came_after_the_fold() -> None:
    """Another service, which reads the job later, cannot read one event: it counts one less, and finds the damage."""
    log = History()
    log.submit(1)
    runner_id = log.join("r", 1)
    log.cycle()
    log.start(1, runner_id)
    live = log.state.jobs[aggregates.job(DEFAULT_TENANT, job(1))]
    assert log.state.slots_used == 1
    seen = Head(seq=live.life.head.seq, version=live.life.head.version - 1, hash=live.life.head.hash)
    data = JobClosed(damaged_seq=live.life.head.seq)
    event = link(seen, live.aggregate, data, event_id=log.new_id(), time=log.now, actor="user:root")
    log.state.apply(Stored(log.state.seq + 1, event, digest(encode(event))))
    assert (log.state.jobs, log.state.slots_used) == ({}, 0)
