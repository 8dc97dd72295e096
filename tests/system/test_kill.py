"""kill -9 of any process, at random moments, while jobs flow: nothing acknowledged is lost, doubled or left behind."""

import os
import random
import threading
import time
from pathlib import Path

import pytest
import urllib3
from tests.system.processes import System, running_system, wait_until

pytestmark = pytest.mark.system

MOCK_JOBS = 200
SNAKEMAKE_JOBS = 12
KILLS = 10
SETTLE_DEADLINE_S = 180.0
TERMINAL_EVENTS = {"JobCompleted", "JobFailed", "JobCancelled"}

# Each job notes its own process; one that finds another of the same run alive reports it.
SNAKEFILE = """
import os, pathlib

def guard(step):
    note = pathlib.Path(config["notes"]) / (config["run"] + "." + step)
    if note.exists():
        other = int(note.read_text())
        if os.path.exists("/proc/%d" % other):
            (pathlib.Path(config["notes"]) / ("OVERLAP." + config["run"])).write_text(str(other))
    note.write_text(str(os.getpid()))
    return step

guard("main")

rule all:
    input: expand("part{n}.txt", n=range(3))

rule part:
    output: "part{n}.txt"
    shell: "echo $$ > {config[notes]}/{config[run]}.shell{wildcards.n}; sleep 0.4; echo {wildcards.n} > {output}"
"""


class Submitter(threading.Thread):
    """A client that submits with an idempotency key and tries again until it is acknowledged."""

    def __init__(self, system: System, notes: Path) -> None:
        super().__init__(daemon=True)
        self.system = system
        self.notes = notes
        self.acknowledged: list[str] = []
        self.stopping = False

    def run(self) -> None:
        for number in range(MOCK_JOBS + SNAKEMAKE_JOBS):
            self.submit(number)

    def submit(self, number: int) -> None:
        run = f"run-{number}"
        body: dict[str, object] = {"pipeline_name": "flow", "parameters": {}}
        if number % (MOCK_JOBS // SNAKEMAKE_JOBS) == 0:
            body["source"] = {"files": {"Snakefile": SNAKEFILE}}
            body["parameters"] = {"run": run, "notes": str(self.notes)}
        while not self.stopping:
            try:
                status, job = self.system.post("/jobs", body, **{"Idempotency-Key": run})
            except urllib3.exceptions.HTTPError:
                time.sleep(0.05)  # the gateway is being started again
                continue
            if status in {200, 201}:
                self.acknowledged.append(job["id"])
                return
            assert status == 503, (status, job)
            time.sleep(0.05)


def processes_of(root: Path) -> list[str]:
    """Return the command lines of processes whose environment names a folder below `root`."""
    found: list[str] = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit() or int(path.name) == os.getpid():
            continue
        try:
            if str(root).encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def alive(pid_file: Path) -> bool:
    text = pid_file.read_text().strip()
    return bool(text) and Path(f"/proc/{text}").exists()


def test_any_process_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    seed = int(os.environ.get("PENSTOCK_TEST_SEED", random.SystemRandom().randrange(10**6)))
    dice = random.Random(seed)
    print(f"rerun with PENSTOCK_TEST_SEED={seed}")  # noqa: T201 - shown by pytest when the test fails
    notes = tmp_path / "notes"
    notes.mkdir()
    with running_system(
        tmp_path,
        PENSTOCK_SLOTS="8",
        PENSTOCK_SANDBOX_WRITE=str(notes),
        PENSTOCK_MOCK_UNKNOWN_PIPELINES="true",
        PENSTOCK_MOCK_MIN_DURATION="0.05",
        PENSTOCK_MOCK_MAX_DURATION="0.6",
        PENSTOCK_MOCK_SUCCESS_RATE="0.9",
    ) as system:
        submitter = Submitter(system, notes)
        submitter.start()
        try:
            kill_around(system, dice)
            submitter.join(SETTLE_DEADLINE_S)
        finally:
            submitter.stopping = True
        assert not submitter.is_alive()
        assert len(set(submitter.acknowledged)) == MOCK_JOBS + SNAKEMAKE_JOBS
        system.await_ready()  # the last kill may have been the gateway's, with nothing left to submit
        wait_until(
            lambda: all_terminal(system, submitter.acknowledged),
            deadline_s=SETTLE_DEADLINE_S,
            what=lambda: f"every acknowledged job ended (seed {seed}): {stragglers(system, submitter.acknowledged)}",
        )
        for job_id in submitter.acknowledged:
            check_history(system, job_id)
        assert not list(notes.glob("OVERLAP.*"))
        assert not [path for path in notes.iterdir() if "shell" in path.name and alive(path)]
        check_slots_are_free(system)
    assert processes_of(tmp_path) == []


def kill_around(system: System, dice: random.Random) -> None:
    """Kill one service after another, the server among them, and start each again as a supervisor would."""
    names = ["gateway", "scheduler", "runner", "projector", "nats"] * (KILLS // 5)
    dice.shuffle(names)
    for name in names:
        time.sleep(dice.uniform(0.2, 1.5))  # the random moment is the point of this test
        service = system.services[name]
        service.kill()
        time.sleep(dice.uniform(0.0, 0.5))
        service.start()


def states(system: System) -> dict[str, str]:
    found: dict[str, str] = {}
    cursor = ""
    while True:
        status, page = system.get(f"/jobs?limit=500{cursor}")
        assert status == 200, page
        found |= {job["id"]: job["status"] for job in page["jobs"]}
        if not page.get("next_cursor"):
            return found
        cursor = f"&cursor={page['next_cursor']}"


def all_terminal(system: System, job_ids: list[str]) -> bool:
    now = states(system)
    return all(now.get(job_id) in {"completed", "failed", "cancelled"} for job_id in job_ids)


def stragglers(system: System, job_ids: list[str]) -> list[tuple[str, str | None]]:
    now = states(system)
    return [(item, now.get(item)) for item in job_ids if now.get(item) not in {"completed", "failed", "cancelled"}]


def check_history(system: System, job_id: str) -> None:
    """Exactly one terminal event, at the end; each attempt assigned once and over before the next one."""
    status, page = system.get(f"/jobs/{job_id}/events")
    assert status == 200, page
    types = [event["data"]["type"] for event in page["events"]]
    versions = [event["version"] for event in page["events"]]
    assert versions == list(range(1, len(versions) + 1))
    assert [kind for kind in types if kind in TERMINAL_EVENTS] == types[-1:], types
    open_attempt = 0
    for event in page["events"]:
        data = event["data"]
        match data["type"]:
            case "JobAssigned":
                assert open_attempt == 0, types
                open_attempt = data["attempt"]
            case "AttemptStarted":
                assert data["attempt"] == open_attempt, types
            case "JobRequeued" | "JobCompleted" | "JobFailed":
                assert data["attempt"] == open_attempt, types
                open_attempt = 0
            case _:
                pass


def check_slots_are_free(system: System) -> None:
    """As many jobs as there are slots run at once again."""
    ids: list[str] = []
    for _ in range(8):
        status, job = system.post(
            "/jobs", {"pipeline_name": "after", "parameters": {"mock": {"min_duration": 3, "max_duration": 3}}}
        )
        assert status == 201, job
        ids.append(job["id"])
    wait_until(
        lambda: all(states(system)[item] == "running" for item in ids), deadline_s=10.0, what="eight jobs at once"
    )
    wait_until(lambda: all_terminal(system, ids), deadline_s=20.0, what="the eight jobs ended")
