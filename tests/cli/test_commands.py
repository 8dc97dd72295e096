"""Every command against one running system."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.cli.systems import Up, call, environment, read_until, up, wait_until

from penstock.terminal.exit_codes import Exit

pytestmark = pytest.mark.system

QUICK = 'mock={"min_duration":0,"max_duration":0,"success_rate":1}'
FAILING = 'mock={"min_duration":0,"max_duration":0,"success_rate":0}'
LONG = 'mock={"min_duration":600,"max_duration":600,"success_rate":1}'
WORKFLOW = """
rule all:
    input: "out/total.txt"

rule one:
    output: "out/{sample}.txt"
    shell: "echo {wildcards.sample} has {config[word]} > {output}"

rule total:
    input: "out/a.txt", "out/b.txt"
    output: "out/total.txt"
    shell: "cat {input} > {output}"
"""
BROKEN = """
rule all:
    input: "a.txt"

rule breaks:
    output: "a.txt"
    shell: "echo the disk is made of cheese >&2; exit 7"
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Generator[Up]:
    with up(tmp_path_factory.mktemp("home"), "--slots", "2") as started:
        yield started
        assert started.stop() == Exit.OK


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    folder = tmp_path / "adder"
    folder.mkdir()
    (folder / "Snakefile").write_text(WORKFLOW)
    return folder


def test_a_workflow_goes_all_the_way(system: Up, workflow: Path) -> None:
    done = call(system.home, "submit", str(workflow), "-p", "word=7", "-l", "project=tuna", "--watch")
    assert done.returncode == Exit.OK, done.stderr
    job_id = done.stdout.strip()
    assert "sending 1 file" in done.stderr
    assert f"{job_id} completed" in done.stderr

    details = json.loads(call(system.home, "show", job_id[:12], "-o", "json").stdout)
    assert (details["id"], details["pipeline_name"], details["parameters"]) == (job_id, "adder", {"word": 7})
    assert details["tasks"] == {"total": 4, "done": 4, "running": 0, "failed": 0}

    tasks = [json.loads(line) for line in call(system.home, "tasks", job_id, "-o", "jsonl").stdout.splitlines()]
    assert sorted((task["name"], task["state"]) for task in tasks) == [
        ("all", "completed"),
        ("one", "completed"),
        ("one", "completed"),
        ("total", "completed"),
    ]
    types = [event["type"] for event in json.loads(call(system.home, "events", job_id, "-o", "json").stdout)["events"]]
    assert types == ["JobSubmitted", "JobAssigned", "AttemptStarted", "JobCompleted"]

    got = workflow.parent / "got"
    assert call(system.home, "outputs", job_id, "--get", str(got)).returncode == Exit.OK
    assert (got / "out" / "total.txt").read_text() == "a has 7\nb has 7\n"
    assert "rule total" in call(system.home, "logs", job_id).stdout

    listed = json.loads(call(system.home, "ls", "-l", "project=tuna", "-o", "json").stdout)
    assert [job["id"] for job in listed["jobs"]] == [job_id]
    assert call(system.home, "ls", "-l", "project=cod").stderr.strip() == "no runs"


def test_a_failed_run_shows_what_failed(system: Up, workflow: Path) -> None:
    (workflow / "Snakefile").write_text(BROKEN)
    done = call(system.home, "submit", str(workflow), "--watch")
    assert done.returncode == Exit.RUN_FAILED
    assert "rule breaks, exit code 7" in done.stderr
    assert "the disk is made of cheese" in done.stderr
    details = call(system.home, "show", done.stdout.strip()).stdout
    assert "rule breaks, exit code 7" in details
    assert "the disk is made of cheese" in details


def test_the_mock_engine_fails_on_request(system: Up) -> None:
    done = call(system.home, "submit", "--pipeline", "x", "-p", FAILING, "--watch", "--url", system.record.url)
    assert done.returncode == Exit.RUN_FAILED
    assert "warning: the server knows no pipeline 'x': the engine mock only simulates one" in done.stderr
    assert f"penstock logs {done.stdout.strip()} --url {system.record.url}" in done.stderr


def test_a_cancelled_run_ends_its_watch_with_11(system: Up) -> None:
    job_id = call(system.home, "submit", "--pipeline", "x", "-p", LONG).stdout.strip()
    watching = subprocess.Popen(
        [sys.executable, "-m", "penstock", "watch", job_id], env=environment(system.home), stderr=subprocess.DEVNULL
    )
    cancelled = call(system.home, "cancel", job_id[:13], "--wait", "--reason", "enough")
    assert cancelled.stdout.split() == [job_id, "cancelled"]
    assert watching.wait(30) == Exit.CANCELLED
    assert call(system.home, "cancel", job_id).returncode == Exit.OK  # it is over already: no error


def test_a_run_is_held_and_released(system: Up) -> None:
    done = call(system.home, "submit", "--pipeline", "x", "-p", QUICK, "--hold", "--no-requeue")
    job_id = done.stdout.strip()
    assert f"penstock release {job_id[:8]}" in done.stderr
    again = call(system.home, "hold", job_id[:13], "--reason", "not yet")
    assert again.stdout.split() == [job_id, "held"]
    details = call(system.home, "show", job_id).stdout
    assert "held; it waits until somebody releases it" in details
    assert "not requeued" in details
    assert call(system.home, "release", job_id).stdout.split() == [job_id, "queued"]
    assert call(system.home, "watch", job_id).returncode == Exit.OK
    refused = call(system.home, "hold", job_id)
    assert refused.returncode == Exit.USAGE
    assert "already completed" in refused.stderr


def test_a_run_that_is_over_is_left_as_it_is(system: Up) -> None:
    job_id = call(system.home, "submit", "--pipeline", "x", "-p", QUICK, "--watch").stdout.strip()
    done = call(system.home, "cancel", job_id)
    assert (done.returncode, done.stdout.split()) == (Exit.OK, [job_id, "completed"])


def test_a_deleted_run_is_shown_as_such(system: Up) -> None:
    job_id = call(system.home, "submit", "--pipeline", "x", "-p", QUICK, "--watch").stdout.strip()
    for _ in range(2):
        deleted = call(system.home, "delete", job_id)
        assert (deleted.returncode, deleted.stdout.split()) == (Exit.OK, [job_id, "deleted"])
    deleted = call(system.home, "show", job_id)
    assert deleted.returncode == Exit.NOT_FOUND
    assert "was deleted at" in deleted.stderr


def test_ctrl_c_on_a_terminal_detaches(system: Up) -> None:
    main, terminal = os.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "penstock", "submit", "--pipeline", "x", "-p", LONG, "--watch"],
        env=environment(system.home),
        preexec_fn=lambda: os.login_tty(terminal),
    )
    os.close(terminal)
    output = read_until(main, b"running")
    os.write(main, b"\x03")
    output += read_until(main, b"penstock cancel")
    assert watching.wait(30) == Exit.INTERRUPTED
    os.close(main)
    assert b"detached: the run goes on" in output
    job_id = json.loads(call(system.home, "ls", "-n", "1", "-o", "json").stdout)["jobs"][0]["id"]
    assert f"penstock watch {job_id}".encode() in output
    assert json.loads(call(system.home, "show", job_id, "-o", "json").stdout)["status"] == "running"
    assert call(system.home, "cancel", job_id, "--wait").returncode == Exit.OK


def test_following_a_log_ends_with_the_run(system: Up, workflow: Path) -> None:
    job_id = call(system.home, "submit", str(workflow), "-p", "word=hello").stdout.strip()
    followed = call(system.home, "logs", "-f", job_id)
    assert followed.returncode == Exit.OK
    assert "rule total" in followed.stdout
    events = call(system.home, "events", "-f", job_id)
    assert events.returncode == Exit.OK
    assert "JobCompleted" in events.stdout


def test_the_same_key_finds_the_same_run(system: Up) -> None:
    first, second = (
        call(system.home, "submit", "--pipeline", "x", "-p", QUICK, "--idempotency-key", "k").stdout for _ in range(2)
    )
    assert first == second
    other = call(system.home, "submit", "--pipeline", "other", "--idempotency-key", "k")
    assert other.returncode == Exit.USAGE, other.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["show", "00000000-0000-4000-8000-000000000000"], Exit.NOT_FOUND, "not found"),
        (["show", "zzz"], Exit.NOT_FOUND, "no run found whose id begins with 'zzz'"),
        (["logs", "00000000-0000-4000-8000-000000000000"], Exit.NOT_FOUND, "not found"),
        (["cancel", "zzz", "yyy"], Exit.NOT_FOUND, "'yyy'"),
        (["submit", "--pipeline", "x", "--engine", "excel"], Exit.USAGE, "excel"),
        (["submit", "--pipeline", "x", "--priority", "9999999"], Exit.USAGE, "priority"),
        (["submit", "--pipeline", ""], Exit.USAGE, "pipeline_name"),
        (["submit", "/etc", "--in-place"], Exit.USAGE, "PENSTOCK_SOURCE_ROOTS"),
    ],
)
def test_a_refusal_of_the_server_is_shown_in_its_words(
    system: Up, arguments: list[str], code: Exit, expected: str
) -> None:
    done = call(system.home, *arguments)
    assert done.returncode == code, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_several_are_cancelled_at_once_and_one_that_is_unknown_is_named(system: Up) -> None:
    ids = [call(system.home, "submit", "--pipeline", "x", "-p", LONG).stdout.strip() for _ in range(2)]
    done = call(system.home, "cancel", *ids, "zzz", "--wait")
    assert done.returncode == Exit.NOT_FOUND
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["cancelled", "cancelled"]
    assert "zzz" in done.stderr


def test_the_runners_are_listed(system: Up) -> None:
    done = call(system.home, "runners")
    assert done.returncode == Exit.OK, done.stderr
    header, line = done.stdout.splitlines()
    assert header.split() == ["NAME", "BUSY", "CORES", "GPUS", "STATE", "SEEN", "SANDBOX", "PROVIDES", "ENGINES"]
    assert "active" in line
    assert re.search(r"mock \S+, snakemake 9\.", line)
    (found,) = json.loads(call(system.home, "runners", "-o", "json").stdout)["runners"]
    assert found["slots"] >= found["busy"]


def test_doctor_finds_nothing_wrong(system: Up) -> None:
    done = call(system.home, "doctor", "-o", "json")
    checks = {load["name"]: load for load in json.loads(done.stdout)}
    # What the sandbox can do, this machine's kernel decides.
    assert {name: check for name, check in checks.items() if check["result"] != "ok" and name != "sandbox"} == {}
    assert done.returncode == Exit.OK
    assert {"server", "readiness", "runners", "scheduler", "event log", "clock", "sandbox"} <= set(checks)


def test_the_log_is_verified(system: Up) -> None:
    job_id = call(system.home, "submit", "--pipeline", "x", "-p", QUICK, "--watch").stdout.strip()
    done = call(system.home, "events", job_id, "--verify")
    assert (done.returncode, done.stdout) == (Exit.OK, "ok: 4 events, the hash chain is whole\n"), done.stderr
    done = call(system.home, "verify")
    assert done.returncode == Exit.OK, done.stderr
    assert re.fullmatch(r"ok: [\d,]+ events in [\d,]+ hash chains, [1-9][\d,]* decisions .*\n", done.stdout)


def test_versions(system: Up) -> None:
    output = call(system.home, "version").stdout
    assert system.record.url in output


def test_a_watch_survives_the_gateway(system: Up) -> None:
    job_id = call(system.home, "submit", "--pipeline", "x", "-p", LONG).stdout.strip()
    log = system.home / "watch.log"
    with log.open("wb") as errors:
        watching = subprocess.Popen(
            [sys.executable, "-m", "penstock", "watch", job_id], env=environment(system.home), stderr=errors
        )
    wait_until(lambda: b"running" in log.read_bytes(), "it watches")
    os.kill(system.record.services["gateway"], signal.SIGKILL)
    assert call(system.home, "cancel", job_id).returncode == Exit.OK
    assert watching.wait(60) == Exit.CANCELLED


def test_a_workflow_is_planned_registered_and_run_by_name(system: Up, workflow: Path) -> None:
    planned = call(system.home, "plan", str(workflow), "-p", "word=7")
    assert planned.returncode == Exit.OK, planned.stderr
    assert "one    2      " in planned.stdout
    tasks = call(system.home, "plan", str(workflow), "-p", "word=7", "--tasks", "-o", "jsonl").stdout.splitlines()
    assert len(tasks) == 4
    (workflow / "config.schema.json").write_text('{"required": ["word"], "properties": {"word": {"minimum": 1}}}')
    added = call(system.home, "pipeline", "add", str(workflow), "--version", "1.0", "--name", "adds")
    assert added.stdout == "adds 1.0\n", added.stderr
    assert "adds" in call(system.home, "pipeline", "ls").stdout
    assert "(required)" in call(system.home, "pipeline", "show", "adds").stdout
    refused = call(system.home, "submit", "--pipeline", "adds", "-p", "word=0")
    assert refused.returncode == Exit.USAGE
    assert "(in parameters.word)" in refused.stderr
    done = call(system.home, "submit", "--pipeline", "adds", "-p", "word=7", "--watch")
    assert done.returncode == Exit.OK, done.stderr
    assert "adds, version 1.0" in call(system.home, "show", done.stdout.strip()).stdout
    assert call(system.home, "pipeline", "retire", "adds", "1.0").returncode == Exit.OK
    assert "retired" in call(system.home, "submit", "--pipeline", "adds", "-p", "word=7").stderr
