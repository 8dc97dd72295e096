"""Workflows that report what is not so: none ends well, and what its jobs start cannot report at all."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.engine import EngineFault
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import FailureCause
from penstock_schemas.views import LogStream, TaskState

pytestmark = pytest.mark.system

INVALID = "the workflow sent an invalid event: "
FORGE = '''
import json, os, struct, subprocess, sys

def forge(*messages, folder="/proc/self/fd"):
    """Write messages into every pipe that this process finds; return how many took them."""
    frames = b""
    for message in messages:
        body = json.dumps(message).encode()
        frames += struct.pack(">I", len(body)) + body
    found = 0
    for number in os.listdir(folder):
        try:
            if not os.readlink(f"{folder}/{number}").startswith("pipe:"):
                continue
            if folder == "/proc/self/fd":
                os.write(int(number), frames)
            else:
                with open(f"{folder}/{number}", "wb") as pipe:
                    pipe.write(frames)
            found += 1
        except OSError:
            pass
    return found

NOW = "2026-01-01T00:00:00Z"

def graph(**fields):
    return {"type": "GraphChanged", "tasks": [{"task": 0, "rule": "r", "wildcards": {}} | fields]}

def started():
    return {"type": "TryStarted", "task": 0, "try_number": 1, "time": NOW}

def process(pid):
    return {"type": "ProcessStarted", "task": 0, "try_number": 1, "pid": pid}

def ended():
    return {"type": "TryEnded", "task": 0, "try_number": 1, "time": NOW, "ok": True, "exit_code": 0}

END = {"type": "RunEnded"}
'''
WORK = """
rule r:
    output: "a.txt"
    shell: "echo hi > {output}"
"""


def forging(action: str) -> str:
    """Return a Snakefile that forges, and then waits to be ended, unless it ends by itself."""
    return f"{FORGE}\n{action}\nimport time\ntime.sleep(60)\n{WORK}"


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("forge(END); os._exit(0)", "the run ended before its graph was known"),
        ("forge(graph(), END); os._exit(0)", "job 0 of it was waiting"),
        ("forge(graph(), started(), ended(), END); os._exit(0)", "no process of it was seen"),
        ("forge(graph(), started(), process(os.getppid()), ended(), END)", "is none of the workflow's"),
        ("forge(graph(), started(), process(1), ended(), END)", "is none of the workflow's"),
        ("forge(graph(), started(), process(os.getpid()), ended(), END)", "is none of the workflow's"),
        (
            "p = subprocess.Popen(['sh', '-c', 'read x; exit 3'], stdin=subprocess.PIPE)\n"
            "forge(graph(), started(), process(p.pid))\n"
            "p.communicate(b'x')\n"
            "forge(ended(), END)",
            "exit code 3|no process of it was seen",  # as soon as it was collected, it can be seen no more
        ),
        (
            "p = subprocess.Popen(['sleep', '60'])\nforge(graph(), started(), process(p.pid), ended(), END)",
            "still running",
        ),
        (
            "forge(graph(is_norun=True, outputs=['a.txt']), started(), ended(), END); os._exit(0)",
            "its output 'a.txt' is not there",
        ),
        ("forge(graph(), graph(rule='other')); os._exit(0)", "represents two jobs"),
        ("forge({'type': 'GraphChanged', 'tasks': [{'key': 'a b', 'rule': 'x', 'wildcards': {}}]})", "key"),
        (
            "[os.write(int(n), b'\\xff' * 100) for n in os.listdir('/proc/self/fd') if n.isdigit() and int(n) > 2 and "
            "os.readlink(f'/proc/self/fd/{n}').startswith('pipe:') and os.get_blocking(int(n)) and not "
            "open(f'/proc/self/fdinfo/{n}').read().split()[3].endswith('00')]",
            "a message of 4,294,967,295 bytes",
        ),
    ],
)
async def test_a_snakefile_that_forges_its_own_success_fails(harness: EngineHarness, action: str, why: str) -> None:
    failure = await harness.fail(forging(action))
    assert failure.message.startswith(INVALID)
    assert re.search(why, failure.message)
    assert failure.cause is FailureCause.WORKFLOW
    assert not harness.processes()


async def test_a_run_that_reported_what_cannot_be_is_ended_at_once(harness: EngineHarness) -> None:
    failure = await harness.fail(forging("forge(END, END)\nimport time\nwhile True: time.sleep(1)"))
    assert failure.message.startswith(INVALID)
    assert not harness.processes()


async def test_a_task_without_outputs_that_it_declares_is_no_success(harness: EngineHarness) -> None:
    """An output that Snakemake was made to accept is still checked by the runner."""
    failure = await harness.fail(
        """
        from snakemake.jobs import Job

        async def postprocess(self, **how):
            pass

        Job.postprocess = postprocess

        rule r:
            output: "a.txt"
            shell: "true"
        """
    )
    assert failure.message == f"{INVALID}rule r ended well, and its output 'a.txt' is not there"


async def test_a_failed_command_that_snakemake_takes_for_a_success_is_none(harness: EngineHarness) -> None:
    failure = await harness.fail(
        """
        import subprocess
        subprocess.Popen.__call__ = None
        from penstock_engines.snakemake.attempt_process.tasks import shell_process

        class Command(shell_process.JobCommand):
            def wait(self, timeout=None):
                super().wait(timeout)
                self.returncode = 0
                return 0

        shell_process.JobCommand = Command

        rule r:
            output: "a.txt"
            shell: "touch {output}; exit 3"
        """
    )
    assert failure.message == f"{INVALID}job 0 ended well, and its process was seen to end with exit code 3"


TASKS = {
    "shell": 'shell: "{config[python]} attack.py {output}"',
    "run": "run:\n        import attack\n        attack.perform(output[0])",
    "script": 'script: "attack_script.py"',
}
ATTACK = (
    FORGE
    + '''
import ctypes, pathlib, signal

def attempt_of(pid):
    """The attempt's own process: the ancestor whose parent is the supervisor."""
    chain = []
    while pid > 1:
        chain.append(pid)
        pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return chain

def attempted(action):
    try:
        return f"done: {action()}"
    except BaseException as error:
        return f"refused: {type(error).__name__} {error}"

def perform(path):
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.getpid()
    main = int(pathlib.Path("main.pid").read_text())

    def call(name, *arguments):
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)
        return "ok"

    def pidfd_getfd():
        descriptor = os.pidfd_open(main)
        for number in range(64):
            if libc.syscall(438, descriptor, number, 0) >= 0:
                return number
        raise OSError(ctypes.get_errno(), "pidfd_getfd")

    pathlib.Path(path).write_text(json.dumps({
        "inherited": forge(END),
        "by /proc": attempted(lambda: forge(END, folder=f"/proc/{main}/fd")),
        "memory": attempted(lambda: open(f"/proc/{main}/mem", "r+b").close()),
        "pidfd_getfd": attempted(pidfd_getfd),
        "trace": attempted(lambda: call("ptrace", 16, main, 0, 0)),
        "kill": attempted(lambda: os.kill(main, signal.SIGKILL)),
        "stop": attempted(lambda: os.kill(main, signal.SIGSTOP)),
        "sibling": attempted(lambda: os.kill(int(pathlib.Path("sibling.pid").read_text()), signal.SIGKILL)),
        "own child": attempted(lambda: subprocess.Popen(["sleep", "60"]).kill()),
    }))

if __name__ == "__main__":
    perform(sys.argv[1])
'''
)


@pytest.mark.parametrize("kind", TASKS)
async def test_what_a_job_starts_has_no_way_to_the_events(harness: EngineHarness, kind: str) -> None:
    harness.write({"attack.py": ATTACK, "attack_script.py": "import attack\nattack.perform(snakemake.output[0])\n"})
    await harness.succeed(
        f"""
import os, subprocess, sys
sys.path.insert(0, os.getcwd())
open("main.pid", "w").write(str(os.getpid()))
# It must not end with its parent, so it is no child of the attacker.
sibling = subprocess.Popen(["sleep", "60"])
open("sibling.pid", "w").write(str(sibling.pid))

onsuccess:
    assert sibling.poll() is None
    sibling.kill()

rule r:
    output: "result.json"
    {TASKS[kind]}
""",
        {"python": sys.executable},
    )
    result = json.loads((harness.work / "result.json").read_text())
    assert result.pop("own child") == "done: None"
    assert result.pop("inherited") == 0
    assert result.pop("by /proc") == "done: 0"  # so many were found
    assert all(item.startswith("refused: ") for item in result.values()), result


async def test_a_process_that_a_snakefile_starts_has_no_way_to_the_events(harness: EngineHarness) -> None:
    harness.write({"forge.py": FORGE + "\nprint('found', forge(END))"})
    await harness.succeed(
        """
        import os, subprocess, multiprocessing
        subprocess.run([config["python"], "forge.py"], check=True, close_fds=False)
        os.system(f"{config['python']} forge.py")
        exec(open("forge.py").read().replace("print(", "found = (").replace("forge(END)", "0"))
        child = os.fork()
        if child == 0:
            os.write(1, f"found {forge(END)}\\n".encode())
            os._exit(0)
        os.waitpid(child, 0)

        rule r:
            output: "a.txt"
            shell: "{config[python]} forge.py; touch {output}"
        """,
        {"python": sys.executable},
    )
    own = harness.emitted.log(LogStream.WORKFLOW) + harness.emitted.log(LogStream.STDOUT)
    assert own.split("\n").count("found 0") == 4


async def test_a_job_cannot_make_another_one_succeed(harness: EngineHarness) -> None:
    failure = await harness.fail(
        """
        rule all:
            input: "a.txt", "b.txt"

        rule fails:
            output: "a.txt"
            run:
                import time
                while not os.path.exists("tampered"):
                    time.sleep(0.01)
                raise SystemExit(3)

        rule tampers:
            output: "b.txt"
            run:
                for number in os.listdir("/proc/self/fd"):
                    try:
                        if "task-report" in os.readlink(f"/proc/self/fd/{number}"):
                            os.pwrite(int(number), b'{"exit_code":0,"exception":"","text":""}', 0)
                    except OSError:
                        pass
                open("tampered", "w").close()
                open(output[0], "w").close()
        """,
        cores=2,
    )
    assert failure.rule == "fails"
    assert harness.emitted.states("fails")[-1] is TaskState.FAILED


@pytest.mark.parametrize("action", ["forge(END, folder=f'/proc/{main}/fd')", "os.kill(main, 9)", "os.kill(main, 2)"])
async def test_without_a_sandbox_a_job_cannot_make_its_run_succeed_either(tmp_path: Path, action: str) -> None:
    async with SnakemakeEngine() as engine:
        harness = EngineHarness(engine, tmp_path / "harness")
        harness.write(
            {"attack.py": f"{FORGE}\nmain = int(open('main.pid').read())\n{action}\nimport time; time.sleep(60)"}
        )
        try:
            outcome = await harness.run(
                """
                import os
                open("main.pid", "w").write(str(os.getpid()))
                rule r:
                    output: "a.txt"
                    shell: "touch {output}; {config[python]} attack.py"
                """,
                {"python": sys.executable},
            )
        except (EngineFault, ExceptionGroup):
            return  # it is tried again
        assert outcome.kind is not OutcomeKind.SUCCEEDED


CASES = Path(__file__).parent / "forged"


@pytest.mark.parametrize("case", ["link", "name", "fifo"])
async def test_a_forged_path_is_neither_read_nor_waited_for(harness: EngineHarness, case: str) -> None:
    """What once made the runner copy a secret, end, and wait for ever."""
    shutil.copy(CASES / f"{case}.smk", harness.work / "Snakefile")
    target = harness.root / "secret.txt"
    target.write_text("not to be shown")
    failure = await harness.fail(None, {"target": str(target)})
    assert failure.message.startswith(INVALID)
    everything = "".join(path.read_text() for path in harness.logs.rglob("*") if path.is_file())
    assert "not to be shown" not in everything + json.dumps([str(event) for event in harness.emitted.events])
    assert not harness.processes()
