"""From jobs to runs: states, languages, the command line, and runs that were not submitted over WES."""

from typing import Any, cast

import pytest
from tests.gateway.jobs import make_job, respecified

from penstock_gateway.http.problems import problem_of
from penstock_gateway.http.requests import Request
from penstock_gateway.index.job_status import DETAILED_STATUSES_OF, DetailedStatus
from penstock_gateway.operations.wes_models import WesState
from penstock_gateway.wes.addresses import Addresses, root_of
from penstock_gateway.wes.failures import error_of, in_words_of_wes
from penstock_gateway.wes.rendering import command_of, request_of, run_log_of
from penstock_gateway.wes.states import DETAILED_STATUS_OF, state_counts, state_of
from penstock_schemas.jobs import FailureCause, JobState, Source, SourceKind
from penstock_schemas.views import Task, TaskKind, TaskState

CASES = [
    (JobState.QUEUED, None, WesState.QUEUED),
    (JobState.HELD, None, WesState.PAUSED),
    (JobState.ASSIGNED, None, WesState.INITIALIZING),
    (JobState.RUNNING, None, WesState.RUNNING),
    (JobState.CANCELLING, None, WesState.CANCELING),
    (JobState.COMPLETED, None, WesState.COMPLETE),
    (JobState.FAILED, FailureCause.WORKFLOW, WesState.EXECUTOR_ERROR),
    (JobState.FAILED, FailureCause.SYSTEM, WesState.SYSTEM_ERROR),
    (JobState.FAILED, FailureCause.PREEMPTED, WesState.PREEMPTED),
    (JobState.CANCELLED, None, WesState.CANCELED),
]


@pytest.mark.parametrize(("state", "cause", "expected"), CASES)
def test_every_state_is_shown_as_what_it_is(state: JobState, cause: FailureCause | None, expected: WesState) -> None:
    assert state_of(make_job(1, state=state, cause=cause)) is expected


def test_every_state_but_unknown_stands_for_something() -> None:
    assert {state for _, _, state in CASES} == set(DETAILED_STATUS_OF) == set(WesState) - {WesState.UNKNOWN}
    assert {detailed_status for item in DETAILED_STATUSES_OF.values() for detailed_status in item} == set(
        DetailedStatus
    )
    counts = state_counts({DetailedStatus.RUNNING: 3})
    assert counts == {state.value: 3 if state is WesState.RUNNING else 0 for state in WesState}


def test_the_command_line_does_what_the_engine_did() -> None:
    job = respecified(
        make_job(1),
        engine="snakemake",
        source=Source(kind=SourceKind.FILES, location="l", entrypoint="workflow/Snakefile"),
        engine_parameters={
            "--cores": "2",
            "keep_going": None,
            "forceall": "true",
            "notemp": "false",
            "T": "3",
            "targets": "all 'a b'",
            "no-requeue": None,
        },
    )

    assert command_of(job) == [
        *("snakemake", "--snakefile", "workflow/Snakefile", "--cores", "2", "--keep-going", "--forceall", "-T", "3"),
        *("--", "all", "a b"),
    ]


@pytest.mark.parametrize(
    ("source", "url"),
    [
        (None, "p"),
        (Source(kind=SourceKind.BUNDLE, location="l"), "Snakefile"),
        (Source(kind=SourceKind.FILES, location="l", entrypoint="a/b.smk"), "a/b.smk"),
        (Source(kind=SourceKind.PATH, location="/srv/a b", entrypoint="c.smk"), "file:///srv/a%20b/c.smk"),
    ],
)
def test_a_job_that_came_another_way_has_a_workflow_too(source: Source | None, url: str) -> None:
    assert request_of(respecified(make_job(1), source=source)).workflow_url == url


def test_a_job_without_requeue_shows_the_equivalent_parameter() -> None:
    once = respecified(make_job(1), requeue=False)
    assert request_of(once).workflow_engine_parameters == {"no-requeue": ""}
    equivalent = respecified(once, engine_parameters={"--no_requeue": "true"})
    assert request_of(equivalent).workflow_engine_parameters == {"--no_requeue": "true"}
    otherwise = respecified(once, engine_parameters={"--no_requeue": "false"})
    assert request_of(otherwise).workflow_engine_parameters == {"no-requeue": ""}


def test_an_internal_error_reveals_nothing() -> None:
    error = error_of(problem_of(RuntimeError("secret")))
    assert error.status_code == 500
    assert "secret" not in error.msg


def test_addresses_are_escaped() -> None:
    addresses = Addresses("https://host", "/wes")
    assert addresses.output("r", "a b/ü?.txt") == "https://host/wes/runs/r/outputs/a%20b/%C3%BC%3F.txt"
    assert addresses.task_log("r", "a/b", "stdout") == "https://host/wes/runs/r/tasks/a%2Fb/logs/stdout"


def request_from(scope: dict[str, Any]) -> Request:
    async def receive() -> Any:
        raise AssertionError("the body is not read")

    return Request(cast("Any", {"path": "/", **scope}), receive)


@pytest.mark.parametrize(
    ("headers", "root"),
    [
        ({"host": "host:81"}, "http://host:81"),
        ({"host": "a/b"}, "http://127.0.0.1:8000"),
        ({}, "http://127.0.0.1:8000"),
        ({"host": "host", "x-forwarded-host": "front, host", "x-forwarded-proto": "https"}, "https://front"),
        ({"host": "host", "x-forwarded-proto": "javascript"}, "http://host"),
    ],
)
def test_where_a_client_reached_the_server(headers: dict[str, str], root: str) -> None:
    scope = {
        "type": "http",
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "client": ("10.0.0.1", 5000),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    found = root_of(request_from(scope), public_url="", trusted_proxies={"10.0.0.1"})
    assert found == root


def test_only_a_trusted_proxy_determines_the_public_address() -> None:
    headers = [(b"host", b"host"), (b"x-forwarded-host", b"front")]
    scope = {"type": "http", "scheme": "http", "server": None, "client": ("10.0.0.2", 5000), "headers": headers}
    found = root_of(request_from(scope), public_url="", trusted_proxies={"10.0.0.1"})
    assert found == "http://host"


@pytest.mark.parametrize(
    ("native", "standard"),
    [
        ("Job 550e8400 was not found.", "Run 550e8400 was not found."),
        (
            "ada may not list jobs of the tenant; the job's owner may.",
            "ada may not list runs of the tenant; the run's owner may.",
        ),
        ("Send the files in `source.files`.", "Send the files in `workflow_attachment`."),
        ("No pipeline `my job` and no rule 'job 1' are there.", "No pipeline `my job` and no rule 'job 1' are there."),
        ("See /jobs/1 or job.txt.", "See /jobs/1 or job.txt."),
    ],
)
def test_errors_have_the_terms_of_the_standard(native: str, standard: str) -> None:
    assert in_words_of_wes(native) == standard


def test_what_no_runner_provides_and_what_was_prepared_are_in_the_logs_of_a_run() -> None:
    """WES has no other place for it."""
    job = make_job(1)
    step = Task(
        id="conda-1",
        job_id=job.id,
        attempt=1,
        name="conda: e.yaml",
        kind=TaskKind.ENVIRONMENT,
        state=TaskState.COMPLETED,
        message="it was there already: 3 packages",
    )
    log = run_log_of(job, [step], None, Addresses("https://host", "/wes"), preflight=("rule a declares `container:`",))
    assert log.run_log.system_logs == ["not provided: rule a declares `container:`"]
    assert log.task_logs is not None
    (task,) = log.task_logs
    assert task.system_logs[0] == "kind: environment"
    assert "message: it was there already: 3 packages" in task.system_logs
