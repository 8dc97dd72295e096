"""The findings of `doctor` about a server's answers."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from penstock.commands.administration.doctor import (
    FAIL,
    MANY_EVENTS_BEHIND,
    OK,
    WARN,
    Check,
    damage_check,
    engines_check,
    log_check,
    runners_check,
    sandbox_check,
    software_check,
)
from penstock_runtime.engine_plugins import UnusableEngine
from penstock_schemas.api import LogStatus, RunnerResponse, StatusResponse
from penstock_schemas.ids import RunnerId
from penstock_schemas.jobs import Damage
from penstock_schemas.views import SandboxLevel

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def runner(*engines: str, draining: bool = False, slots: int = 4) -> RunnerResponse:
    return RunnerResponse(
        id=RunnerId("n-1"),
        name="n",
        engines=dict.fromkeys(engines, "9.1"),
        slots=slots,
        busy=1,
        draining=draining,
        seen_at=NOW,
    )


def status(*, used: int = 10, lag: int = 0, bound: int = 1000) -> StatusResponse:
    log = LogStatus(events=3, bytes=used, max_bytes=bound, last_seq=3, replicas=1, server_version="2.15.1")
    return StatusResponse(log=log, projected_seq=3, lag=lag, scheduler=None)


def test_engine_plugins_that_cannot_be_used_are_named() -> None:
    assert engines_check(("mock", "snakemake"), ()) == Check("engines", OK, "mock, snakemake")
    check = engines_check(("mock",), (UnusableEngine("the engine plug-in 'x' (y:Z)", "it cannot be imported"),))
    assert check.result == WARN
    assert check.found == "mock; the engine plug-in 'x' (y:Z) is not used: it cannot be imported"
    assert "uninstall" in check.hint


@pytest.mark.parametrize(
    ("runners", "result", "expected"),
    [
        ([], WARN, "none is connected"),
        ([runner("snakemake", draining=True)], WARN, "all of them are draining"),
        ([runner("mock")], WARN, "none with snakemake"),
        ([runner("snakemake", "mock")], OK, "1 runner, 1 of 4 slots busy; mock 9.1, snakemake 9.1"),
        ([runner("snakemake"), runner("mock", slots=2)], OK, "2 runners, 2 of 6 slots busy"),
        ([runner("snakemake"), runner("mock", draining=True)], OK, "1 more draining"),
    ],
)
def test_runners(runners: list[RunnerResponse], result: str, expected: str) -> None:
    check = runners_check(runners)
    assert (check.result, expected in check.found) == (result, True), check
    assert (check.result == WARN) == bool(check.hint)


@pytest.mark.parametrize(
    ("given", "result", "expected"),
    [
        (status(), OK, "3 events, 10 B of 1000 B (1 %); nats-server 2.15.1"),
        (status(used=800), OK, "(80 %)"),
        (status(used=801), WARN, "(80 %)"),
        (status(bound=-1), OK, "3 events, 10 B; nats-server"),
        (status(lag=MANY_EVENTS_BEHIND + 1), WARN, "10,001 events behind"),
    ],
)
def test_the_log(given: StatusResponse, result: str, expected: str) -> None:
    check = log_check(given)
    assert (check.result, expected in check.found) == (result, True), check
    assert (check.result == WARN) == bool(check.hint)


def test_damaged_events_are_named() -> None:
    assert damage_check(status()).result == OK
    known = (Damage(aggregate="job.default.x", seq=7, reason="no JSON"), Damage(aggregate="", seq=9, reason="missing"))
    check = damage_check(replace(status(), damaged=5, damages=known))
    assert check.result == FAIL
    assert check.found == "sequence 7 of job.default.x: no JSON; sequence 9 of an unknown run: missing; and 3 more"
    assert "penstock close" in check.hint


@pytest.mark.parametrize(
    ("levels", "result", "expected"),
    [
        ([], OK, "no runner reports it"),
        ([None], OK, "no runner reports it"),
        ([SandboxLevel.FULL, None], OK, "kept to their own folders"),
        ([SandboxLevel.FULL, SandboxLevel.PARTIAL], WARN, "partial: a workflow can still signal the runner"),
        ([SandboxLevel.NONE, SandboxLevel.PARTIAL], WARN, "none: a workflow can still signal the runner"),
        ([SandboxLevel.OFF, SandboxLevel.FULL], WARN, "everything that the runner's user may"),
    ],
)
def test_the_sandbox_is_as_weak_as_the_weakest(levels: list[SandboxLevel | None], result: str, expected: str) -> None:
    lacking = (SandboxLevel.PARTIAL, SandboxLevel.NONE)
    lacks = {level: ("signal the runner",) if level in lacking else () for level in levels}
    check = sandbox_check([replace(runner(), sandbox=level, sandbox_lacks=lacks[level]) for level in levels])
    assert (check.result, expected in check.found) == (result, True), check
    assert (check.result == WARN) == bool(check.hint)


def test_provided_software_is_listed_with_the_number_of_runners() -> None:
    both, one = replace(runner(), provides=("conda", "wrapper")), replace(runner(), provides=("conda",))
    assert software_check([both, one]) == Check("software", OK, "provided: conda, wrapper (1 of 2)")
    assert software_check([replace(both, draining=True), one]) == Check("software", OK, "provided: conda")
    nothing = software_check([runner()])
    assert nothing.found == "no runner provides what workflows declare"
    assert "PENSTOCK_CONDA_CHANNELS" in nothing.hint
