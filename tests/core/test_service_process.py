"""How a service ends: on a signal, with wrong settings, when it cannot work, and after a fault."""

import json
import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.system

DEADLINE_S = 60.0
PROGRAM = """
import anyio, signal, sys
from msgspec import Struct
from penstock_ports import Unavailable
from penstock_runtime.service_process import main, until_signalled
from penstock_runtime.settings import UnusableSetting

class Settings(Struct, frozen=True, kw_only=True):
    slots: int = 1

async def work():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        await anyio.sleep(0)  # until signals are received
    print("working", flush=True)
    await anyio.sleep_forever()

async def serve(settings):
    what = sys.argv[1]
    if what == "work":
        await until_signalled(work)
        print("ended", flush=True)
    elif what == "return":
        await until_signalled(anyio.lowlevel.checkpoint)
    elif what == "setting":
        raise UnusableSetting("PENSTOCK_SLOTS: there are no slots here")
    elif what == "port":
        async with anyio.create_task_group():
            raise Unavailable("no server at nats://here")
    else:
        raise RuntimeError("a fault of the program")

main(Settings, serve, service="trial")
"""


def environ(**settings: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **settings}


def run(what: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, what],
        env=environ(**settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_work_and_the_service(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "work"],
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, output.splitlines()[-1]) == (0, "ended")
    assert f'"signal":"{number.name}"' in (output + errors).replace(" ", "")


def test_a_service_whose_work_is_over_ends() -> None:
    done = run("return")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("what", "settings", "code", "reason"),
    [
        ("work", {"PENSTOCK_SLOTS": "many"}, 2, "PENSTOCK_SLOTS"),
        ("work", {"PENSTOCK_SLOT": "1"}, 2, "expected the name PENSTOCK_SLOTS"),
        ("setting", {}, 2, "penstock trial: PENSTOCK_SLOTS: there are no slots here"),
        ("port", {}, 1, "penstock trial: no server at nats://here"),
    ],
)
def test_what_keeps_a_service_from_working_is_one_line(
    what: str, settings: dict[str, str], code: int, reason: str
) -> None:
    done = run(what, **settings)
    assert done.returncode == code
    assert reason in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_fault_is_logged_and_ends_the_process() -> None:
    done = run("fault")
    assert done.returncode == 1
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines() if line.startswith("{")]
    (fault,) = [line for line in lines if line["event"] == "ended_by_a_fault"]
    assert fault["service"] == "trial"
    assert "RuntimeError: a fault of the program" in json.dumps(fault)
