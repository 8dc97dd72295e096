"""Hostile workflows, as runs and as plans: each action is refused, and what an honest workflow needs works."""

import json
import os
import pty
import shutil
import site
import socket
import subprocess
import sysconfig
import tty
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest
from msgspec.structs import replace
from tests.runner.snakemake.engine_harness import EngineHarness

import penstock_runner
from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.sandbox.policy import NetworkPolicy, SandboxPolicy
from penstock_execution.sandbox.probe import probe
from penstock_execution.sandbox.status import SandboxMode, sandbox_status
from penstock_runner.confinement import policy
from penstock_runner.settings import RunnerSettings
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.views import SandboxLevel

pytestmark = pytest.mark.system

SNAKEFILE = """
    import hostile_workflow

    hostile_workflow.perform("targets.json", "parsed.json")

    rule all:
        input: "shell.json", "python.json"

    rule shell:
        output: "shell.json"
        shell: "{config[python]} hostile_workflow.py targets.json {output}"

    rule python:
        output: "python.json"
        run: hostile_workflow.perform("targets.json", output[0])
"""
NETWORK = (
    "connect to a port of this machine",
    "listen",
    "send a datagram",
    "reach a socket of this machine",
)
DECENT = (
    "read its own file",
    "read data beside the hidden",
    "read the system's settings",
    "write and move in its work",
    "make a file executable",
    "write to its temporary folder",
    "write to its home",
    "write to its log",
    "write to nowhere",
    "see random numbers",
    "share memory",
    "end its own child",
    "connect to itself",
    "run a program",
    "look at its own process",
)
REFUSALS = ("PermissionError", "FileNotFoundError", "OSError: [Errno 18]", "OSError: [Errno 25]", "OSError: [Errno 30]")
"""What the kernel answers: not permitted; nothing of that name (in `/proc`); no link from where none may be; no
terminal; a file system that is read-only."""
PASSPHRASE = b"typed in another terminal\n"


class Yard:
    """A runner's folders with everything in them that a workflow must not touch, and processes that it must not."""

    def __init__(self, root: Path, victim: int, port: int, abstract: str, terminal: str) -> None:
        self.root = root
        self.own = root / "penstock"
        self.state, self.home, self.blobs = self.own / "runner", root / "home", self.own / "blobs"
        self.victim, self.port, self.abstract, self.terminal = victim, port, abstract, terminal
        for path in (*self.secrets, self.home / "data.txt"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("secret")
        self.settings = RunnerSettings(
            state_dir=self.state,
            blobs=str(self.blobs),
            sandbox_read=(self.home, root / "config"),
            sandbox_hide=(root / "config" / "users",),
        )

    @property
    def secrets(self) -> tuple[Path, ...]:
        return (
            self.state / "runner.json",
            self.state / "runner.lock",
            self.state / "work/other/data.txt",
            self.state / "logs/other/1/engine.log",
            self.blobs / "ab/blob",
            self.own / "nats/log",
            self.root / "config/users",
            self.home / ".ssh/id_ed25519",
        )

    def harness(self, engine: SnakemakeEngine, name: str) -> EngineHarness:
        """A harness whose folders are in the runner's, with the hostile actions in it."""
        harness = EngineHarness(engine, self.state / "harness" / name)
        shutil.copy(Path(__file__).with_name("hostile_workflow.py"), harness.work)
        targets = {
            "state": str(self.state),
            "home": str(self.home),
            "blob": str(self.blobs / "ab/blob"),
            "log_of_events": str(self.own / "nats/log"),
            "users": str(self.root / "config/users"),
            "work": str(harness.work),
            "logs": str(harness.root / "logs/1"),
            "log": str(harness.root / "logs/1/engine.log"),
            "runner": os.getpid(),
            "victim": self.victim,
            "port": self.port,
            "abstract": self.abstract,
            "terminal": self.terminal,
            "package": str(Path(penstock_runner.__file__).parent),
            "user_site": site.getusersitepackages(),
            "site": sysconfig.get_path("purelib"),
        }
        harness.write({"targets.json": json.dumps(targets)})
        return harness


def sealed(settings: RunnerSettings, environ: Mapping[str, str]) -> SandboxPolicy:
    """The policy of a machine that has the whole sandbox."""
    return replace(policy(settings, environ), sealed=True)


@pytest.fixture(scope="module")
async def confined(anyio_backend: str) -> None:
    """Skip where this machine's kernel cannot do it: `tests/runner/test_sandbox.py` states what happens there."""
    found = await probe()
    in_force = sandbox_status(SandboxMode.AUTO, found)
    if in_force.level is not SandboxLevel.FULL:
        pytest.skip(f"this kernel has no full sandbox: a workflow could {', '.join(in_force.lacks)}")


@pytest.fixture(scope="module")
def yard(confined: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    root = tmp_path_factory.mktemp("yard")
    screen, keyboard = pty.openpty()
    tty.setraw(keyboard)  # no echo: what appears on the screen comes from a program
    os.write(screen, PASSPHRASE)
    os.set_blocking(screen, False)
    with (
        subprocess.Popen(["sleep", "600"], stdin=keyboard) as victim,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        abstract = f"penstock-{root.name}-{os.getpid()}"
        listener.bind("\0" + abstract)
        listener.listen(8)
        try:
            yield Yard(root, victim.pid, server.getsockname()[1], abstract, os.ttyname(keyboard))
            assert victim.poll() is None, "a workflow killed it"
            assert os.read(keyboard, 1024) == PASSPHRASE, "a workflow read of it"
            with pytest.raises(BlockingIOError):
                assert not os.read(screen, 1024), "a workflow printed that"
        finally:
            victim.kill()
            os.close(keyboard)
            os.close(screen)


@pytest.fixture(scope="module")
async def keeping(yard: Yard) -> AsyncIterator[SnakemakeEngine]:
    environ = os.environ | {"HOME": str(yard.home)}
    async with SnakemakeEngine(environ, sandbox=sealed(yard.settings, environ)) as engine:
        yield engine


@pytest.fixture(scope="module")
async def run(yard: Yard, keeping: SnakemakeEngine) -> dict[str, dict[str, str]]:
    """What a hostile run was answered: at parse time, in a shell command, in a `run:` block."""
    harness = yard.harness(keeping, "run")
    await harness.succeed(SNAKEFILE, {"python": shutil.which("python3")})
    return {name: json.loads((harness.work / f"{name}.json").read_text()) for name in ("parsed", "shell", "python")}


@pytest.fixture(scope="module")
async def plan(yard: Yard, keeping: SnakemakeEngine) -> dict[str, dict[str, str]]:
    """The same of a plan, which only parses."""
    harness = yard.harness(keeping, "plan")
    outcome = await harness.run(SNAKEFILE, {"python": "python3"}, is_dry=True)
    assert outcome.kind is OutcomeKind.SUCCEEDED, (outcome, (harness.logs / "engine.log").read_text())
    assert not (harness.work / "shell.json").exists()
    return {"parsed": json.loads((harness.work / "parsed.json").read_text())}


async def test_nothing_hostile_is_done_by_a_run(run: dict[str, dict[str, str]]) -> None:
    for where, results in run.items():
        done = {name: answer for name, answer in results.items() if name not in (*NETWORK, *DECENT)}
        assert len(done) > 60
        assert {name: answer for name, answer in done.items() if not answer.startswith(REFUSALS)} == {}, where


async def test_nothing_hostile_is_done_by_a_plan_nor_by_network(plan: dict[str, dict[str, str]]) -> None:
    results = {name: answer for name, answer in plan["parsed"].items() if name not in DECENT}
    assert {name: answer for name, answer in results.items() if not answer.startswith(REFUSALS)} == {}


async def test_a_run_has_a_network_unless_the_operator_refuses(run: dict[str, dict[str, str]]) -> None:
    for results in run.values():
        assert {name: results[name] for name in NETWORK} == dict.fromkeys(NETWORK, "done")


async def test_what_an_honest_workflow_needs_works(
    run: dict[str, dict[str, str]], plan: dict[str, dict[str, str]]
) -> None:
    for results in (*run.values(), *plan.values()):
        assert {name: results[name] for name in DECENT} == dict.fromkeys(DECENT, "done")


async def test_everything_may_be_readable_but_what_is_penstock_s(yard: Yard) -> None:
    """What `penstock up` does for a person on a private machine."""
    elsewhere = yard.root / "elsewhere.txt"
    elsewhere.write_text("data")
    environ = os.environ | {"HOME": str(yard.home)}
    settings = RunnerSettings(
        state_dir=yard.state,
        blobs=str(yard.blobs),
        sandbox_read=(Path("/"),),
        sandbox_hide=(*yard.settings.sandbox_hide, yard.own),
    )
    async with SnakemakeEngine(environ, sandbox=sealed(settings, environ)) as engine:
        harness = yard.harness(engine, "open")
        await harness.succeed(f'open("{elsewhere}").read()\n' + dedent(SNAKEFILE), {"python": shutil.which("python3")})
        results = json.loads((harness.work / "shell.json").read_text())
    assert {name: item for name, item in results.items() if item == "done" and name not in (*NETWORK, *DECENT)} == {}


async def test_a_run_without_a_network_reports_so(yard: Yard) -> None:
    settings = RunnerSettings(state_dir=yard.state, blobs=str(yard.blobs), sandbox_network=NetworkPolicy.NEVER)
    async with SnakemakeEngine(sandbox=sealed(settings, os.environ)) as engine:
        harness = EngineHarness(engine, yard.state / "harness" / "unplugged")
        failure = await harness.fail(
            f"""
            rule fetch:
                output: "x"
                run:
                    import urllib.request
                    urllib.request.urlopen("http://127.0.0.1:{yard.port}/")
            """
        )
    assert failure.message.endswith("the sandbox gives it no network: PENSTOCK_SANDBOX_NETWORK controls this"), failure


@pytest.mark.parametrize(
    ("snakefile", "refused"),
    [
        ('open("{secret}")', "reading {secret}: let the operator add it to PENSTOCK_SANDBOX_READ"),
        ('rule x:\n    output: "x"\n    shell: "cat {secret} > x"', "reading {secret}: let the"),
        (
            'rule x:\n    input: "{secret}"\n    output: "x"\n    run: open(input[0])',
            "reading {secret}: let the operator",
        ),
        (
            'rule x:\n    output: "x"\n    shell: "echo 1 > {folder}/new; touch x"',
            "writing to {folder}/new: let the operator add it to PENSTOCK_SANDBOX_WRITE",
        ),
        ('rule x:\n    output: "{folder}/new"\n    shell: "touch {{output}}"', "writing to {folder}/new"),
        (
            'S = glob_wildcards("{folder}/{{s}}.txt").s',
            "listing {folder}: let the operator add it to PENSTOCK_SANDBOX_READ",
        ),
        ('S = glob_wildcards("{home}/{{s}}/{{t}}.txt").s', "listing {home}, because a part of it is hidden"),
        ('rule x:\n    output: "x"\n    shell: "touch /tmp/penstock-x"', "the one in TMPDIR"),
        (
            'rule x:\n    output: "x"\n    shell: "ln -s {secret} link; cat link > x"',
            "reading {secret}: let the operator",
        ),
    ],
    ids=["parsed", "shell", "python", "written", "output", "search", "hidden", "tmp", "link"],
)
async def test_a_failure_names_what_the_sandbox_refused(
    yard: Yard, keeping: SnakemakeEngine, request: pytest.FixtureRequest, snakefile: str, refused: str
) -> None:
    place = {"secret": str(yard.root / "data.txt"), "folder": str(yard.root), "home": str(yard.home)}
    (yard.root / "data.txt").write_text("data")
    harness = EngineHarness(keeping, yard.state / "harness" / request.node.callspec.id)
    failure = await harness.fail(snakefile.format(**place) + "\n")
    assert "the sandbox refuses " in failure.message, failure
    assert refused.format(**place) in failure.message
