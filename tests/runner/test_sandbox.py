"""What the sandbox allows, refuses and explains, without a kernel: and what is done where the kernel has none."""

import itertools
import os
import site
import sys
import sysconfig
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock_runner
from penstock_execution.sandbox.denials import Machine, explained, read_advice, refusal
from penstock_execution.sandbox.places import SECRET_OF_USER
from penstock_execution.sandbox.policy import NetworkPolicy, SandboxPolicy
from penstock_execution.sandbox.rules import Right, Rules, grants, handled, outermost
from penstock_execution.sandbox.status import Capabilities, SandboxMode, SandboxUnavailable, sandbox_status
from penstock_runner.confinement import policy
from penstock_runner.settings import RunnerSettings, mistakes
from penstock_schemas.jobs import Failure, FailureCause
from penstock_schemas.views import SandboxLevel

WHOLE = Capabilities(abi=7, files=True, signals=True, sockets=True, limits=True, attributes=True)
NO_NAMESPACES = Capabilities(abi=7, files=True, signals=True, sockets=True, limits=True)
LINUX_6_8 = Capabilities(abi=4, files=True, signals=False, sockets=True, limits=True, attributes=True)
DISK: Mapping[str, Iterable[str]] = {
    "/": ("data", "users"),
    "/users": ("me", "you"),
    "/users/me": (".ssh", "penstock", "results"),
    "/users/me/penstock": ("blobs", "runner"),
}


def paths(rules: Rules) -> dict[str, Right]:
    return {grant.path: grant.right for grant in grants(rules, lambda folder: DISK.get(folder, ()))}


# What is granted


def test_a_root_is_one_grant_where_nothing_of_it_is_hidden() -> None:
    assert set(paths(Rules(read=("/data", "/users/you"), hidden=("/users/me/.ssh",)))) == {"/data", "/users/you"}


def test_around_what_is_hidden_everything_else_is_granted() -> None:
    rules = Rules(read=("/",), hidden=("/users/me/.ssh", "/users/me/penstock/runner"))
    assert set(paths(rules)) == {"/data", "/users/you", "/users/me/results", "/users/me/penstock/blobs"}


def test_what_is_hidden_within_what_is_hidden_opens_nothing_around_it() -> None:
    rules = Rules(read=("/",), hidden=("/users/me/penstock", "/users/me/penstock/runner"))
    assert set(paths(rules)) == {"/data", "/users/you", "/users/me/results", "/users/me/.ssh"}
    assert not rules.may_read("/users/me/penstock/blobs/x")


def test_a_folder_of_one_s_own_within_what_is_hidden_is_granted() -> None:
    rules = Rules(read=("/",), write=("/users/me/penstock/runner/job/1",), hidden=("/users/me/penstock",))
    assert "/users/me/penstock/runner/job/1" in paths(rules)
    assert rules.may_write("/users/me/penstock/runner/job/1/x")
    assert not rules.may_read("/users/me/penstock/runner/job/2/x")
    assert rules.may_read("/users/me/results")
    assert not rules.may_write("/users/me/results")


def test_what_is_granted_is_what_may_be_read() -> None:
    """The two ways to express it agree, for every hidden place in every readable one."""
    folders = [folder for folder in DISK if folder != "/"]
    files = [f"{folder.rstrip('/')}/{name}" for folder, names in DISK.items() for name in names]
    leaves = [path for path in files if path not in DISK]
    for hidden in itertools.chain.from_iterable(itertools.combinations(files, count) for count in range(4)):
        for roots in itertools.combinations(("/", *folders), 2):
            rules = Rules(read=roots, hidden=hidden)
            granted = [*paths(rules)]
            for leaf in leaves:
                is_granted = any(leaf == item or leaf.startswith(item.rstrip("/") + "/") for item in granted)
                assert is_granted == rules.may_read(leaf), (roots, hidden, leaf)
            fewer = Rules(read=outermost(roots, hidden), hidden=hidden)
            assert {leaf for leaf in leaves if fewer.may_read(leaf)} == {
                leave for leave in leaves if rules.may_read(leave)
            }


def test_a_folder_with_something_hidden_in_it_cannot_be_listed() -> None:
    rules = Rules(read=("/users",), hidden=("/users/me/.ssh",))
    assert [rules.may_list(item) for item in ("/users/me/results", "/users/me", "/users", "/data")] == [
        True,
        False,
        False,
        False,
    ]


def test_a_name_that_begins_alike_is_another() -> None:
    rules = Rules(read=("/data",), hidden=("/data/secret",))
    assert not rules.may_read("/database")
    assert rules.may_read("/data/secrets")


def test_logs_can_neither_be_removed_nor_led_elsewhere() -> None:
    right = paths(Rules(logs=("/logs",)))["/logs"]
    assert Right.WRITE_FILE in right
    assert Right.MAKE_REG in right
    assert not right & (Right.REMOVE_FILE | Right.REMOVE_DIR | Right.MAKE_SYM | Right.REFER | Right.MAKE_DIR)


@pytest.mark.parametrize(
    ("abi", "unknown"),
    [(2, Right.TRUNCATE | Right.IOCTL_DEV), (3, Right.IOCTL_DEV), (4, Right.IOCTL_DEV), (5, Right(0)), (9, Right(0))],
)
def test_a_kernel_gets_only_the_rights_that_it_knows(abi: int, unknown: Right) -> None:
    assert handled(abi) & (Right.TRUNCATE | Right.IOCTL_DEV) == (Right.TRUNCATE | Right.IOCTL_DEV) & ~unknown
    assert Right.REFER in handled(abi)


# What a runner's settings mean


@pytest.mark.parametrize(
    ("network", "run", "plan"),
    [
        (NetworkPolicy.ALWAYS, True, True),
        (NetworkPolicy.RUNS, True, False),
        (NetworkPolicy.NEVER, False, False),
    ],
)
def test_who_has_a_network(network: NetworkPolicy, run: bool, plan: bool) -> None:
    def rules(is_plan: bool) -> Rules:
        place = Path("/state")
        return SandboxPolicy(network=network).rules(work_dir=place, log_dir=place, scratch=place, is_plan=is_plan)

    assert (rules(False).network, rules(True).network) == (run, plan)
    assert (rules(False).unix_sockets, rules(True).unix_sockets) == (True, False)


def test_a_plan_may_read_what_runs_write_and_write_nothing_outside(tmp_path: Path) -> None:
    allowed = SandboxPolicy(write=("/results",))
    own = {"work_dir": tmp_path / "work", "log_dir": tmp_path / "logs", "scratch": tmp_path / "logs/scratch"}
    run, plan = allowed.rules(**own, is_plan=False), allowed.rules(**own, is_plan=True)
    assert run.may_write("/results/x")
    assert plan.may_read("/results/x")
    assert not plan.may_write("/results/x")
    assert plan.may_write(str(tmp_path / "work/x"))


@pytest.mark.parametrize("is_plan", [False, True])
@pytest.mark.parametrize(
    ("policy", "work", "memory"),
    [
        (SandboxPolicy(read=("/",)), "/work", "/dev/shm"),
        (SandboxPolicy(read=("/dev/shm/data",)), "/work", None),
        (SandboxPolicy(write=("/dev/shm",)), "/work", None),
        (SandboxPolicy(), "/dev/shm/state/work", None),
        (SandboxPolicy(write=("/dev/shmem",)), "/work", "/dev/shm"),
    ],
)
def test_shared_memory_is_private_unless_the_operator_named_a_part_of_it(
    policy: SandboxPolicy, work: str, memory: str | None, *, is_plan: bool
) -> None:
    rules = policy.rules(work_dir=Path(work), log_dir=Path("/logs"), scratch=Path("/logs/scratch"), is_plan=is_plan)
    assert rules.memory == memory


def test_what_is_the_runner_s_and_its_user_s_is_hidden(tmp_path: Path) -> None:
    home, state, creds = tmp_path / "home", tmp_path / "home/state", tmp_path / "home/nats.creds"
    settings = RunnerSettings(
        state_dir=state, blobs=f"file://{home}/blobs", nats_credentials=creds, sandbox_read=(tmp_path,)
    )
    made = policy(settings, {"HOME": str(home), "PATH": f"{home}/bin"})
    rules = Rules(read=made.read, hidden=made.hidden)
    for secret in (state / "runner.json", home / "blobs/x", creds, *(home / item for item in SECRET_OF_USER)):
        assert not rules.may_read(str(secret))
    assert rules.may_read(str(home / "data.txt"))


def test_what_lies_among_the_runner_s_own_cannot_be_opened(tmp_path: Path) -> None:
    settings = RunnerSettings(
        state_dir=tmp_path / "state",
        blobs=str(tmp_path / "blobs"),
        sandbox_read=(tmp_path, tmp_path / "blobs/ab", Path("data")),
        sandbox_write=(tmp_path / "state",),
    )
    assert mistakes(settings) == (
        "PENSTOCK_SANDBOX_READ holds 'data': expected absolute paths",
        f"PENSTOCK_SANDBOX_READ holds '{tmp_path}/blobs/ab', which is in PENSTOCK_BLOBS: workflows must not get there",
        f"PENSTOCK_SANDBOX_WRITE holds '{tmp_path}/state', which is in PENSTOCK_STATE_DIR: "
        "workflows must not get there",
    )


@pytest.mark.parametrize(
    "code",
    [
        Path(sysconfig.get_path("purelib")),
        Path(sysconfig.get_path("stdlib")),
        Path(site.getusersitepackages()),
        Path(penstock_runner.__file__).parent,
        Path(sys.executable).parent,
    ],
    ids=["packages", "library", "user", "runner", "programs"],
)
def test_no_workflow_may_write_where_the_runner_s_programs_are(code: Path) -> None:
    for place in (code, code.parent, code / "deeper", Path("/")):
        (mistake,) = mistakes(RunnerSettings(sandbox_write=(place,)))
        assert mistake.startswith(f"PENSTOCK_SANDBOX_WRITE holds '{place}': a workflow could change the runner's own")


def test_limits_are_those_that_are_set() -> None:
    assert RunnerSettings().limits == {}
    settings = RunnerSettings(limit_memory_bytes=1 << 30, limit_processes=500)
    assert settings.limits == {"RLIMIT_AS": 1 << 30, "RLIMIT_NPROC": 500}


# What is in force


@pytest.mark.parametrize(
    ("mode", "found", "level"),
    [
        (SandboxMode.AUTO, WHOLE, SandboxLevel.FULL),
        (SandboxMode.REQUIRED, WHOLE, SandboxLevel.FULL),
        (SandboxMode.AUTO, LINUX_6_8, SandboxLevel.PARTIAL),
        (SandboxMode.AUTO, NO_NAMESPACES, SandboxLevel.PARTIAL),
        (SandboxMode.AUTO, Capabilities(), SandboxLevel.NONE),
        (SandboxMode.OFF, WHOLE, SandboxLevel.OFF),
        (SandboxMode.OFF, Capabilities(), SandboxLevel.OFF),
    ],
)
def test_what_is_wanted_is_in_force_as_far_as_the_kernel_can(
    mode: SandboxMode, found: Capabilities, level: SandboxLevel
) -> None:
    assert sandbox_status(mode, found).level is level


def test_what_a_kernel_lacks_is_reported() -> None:
    assert sandbox_status(SandboxMode.AUTO, LINUX_6_8).lacks == (
        "control devices that it can open",
        "signal the runner and other runs",
    )
    assert sandbox_status(SandboxMode.AUTO, NO_NAMESPACES).lacks == (
        "change modes, owners and times of files outside its folders",
    )
    [first, *_] = sandbox_status(SandboxMode.AUTO, Capabilities()).lacks
    assert first == "read and change every file that the runner's user may"


@pytest.mark.parametrize("found", [LINUX_6_8, Capabilities()])
def test_a_sandbox_that_is_required_and_not_to_be_had_is_no_start(found: Capabilities) -> None:
    with pytest.raises(SandboxUnavailable, match=r"'required', but here a workflow could still .*signal the runner"):
        sandbox_status(SandboxMode.REQUIRED, found)


# What is explained

RULES = Rules(read=("/usr", "/etc"), write=("/job",), hidden=("/etc/shadow",))
THERE = {
    "/data",
    "/data/x y.txt",
    "/data/x.txt",
    "/usr",
    "/usr/bin",
    "/usr/bin/tool",
    "/tmp",
    "/etc/shadow",
    "/conda/bin",
    "/users/me",
}


def machine_of(*, closed_by_mode: Collection[str] = ()) -> Machine:
    links = {"/job/link.txt": "/data/x.txt"}

    def resolve(path: str) -> str:
        joined = path if path.startswith("/") else os.path.normpath(f"/job/{path}")
        return links.get(joined, joined)

    return Machine(
        resolve=resolve,
        exists=THERE.__contains__,
        allows=lambda path, _: path not in closed_by_mode,
        programs=("/conda/bin",),
        homes=("/users/me",),
    )


def why(
    line: str, rules: Rules = RULES, *, is_execution: bool = False, closed_by_mode: Collection[str] = ()
) -> str | None:
    machine = machine_of(closed_by_mode=closed_by_mode)
    return refusal(["something else", line], rules, machine, is_execution=is_execution)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("cat: /data/x.txt: Permission denied", "/data/x.txt"),
        ("/usr/bin/tool: line 3: /data/x.txt: Permission denied", "/data/x.txt"),
        ("PermissionError in file Snakefile, line 1: [Errno 13] Permission denied: '/data/x y.txt'", "/data/x y.txt"),
        ("Exception: /data/x.txt (Permission denied)", "/data/x.txt"),
        ("cannot open file '/data/x.txt': Permission denied", "/data/x.txt"),
        ("cat: link.txt: Permission denied", "/data/x.txt"),
        ("ls: cannot open directory '/data': Permission denied", "/data"),
        ("head: cannot open \u2018/data/x.txt\u2019 for reading: Permission denied", "/data/x.txt"),
    ],
)
def test_a_refused_read_is_named(line: str, path: str) -> None:
    assert why(line) == f"the sandbox refuses reading {path}: let the operator add it to PENSTOCK_SANDBOX_READ"


def test_what_is_hidden_is_not_offered() -> None:
    assert why("cat: /etc/shadow: Permission denied") == (
        "the sandbox refuses reading /etc/shadow: it is the runner's own, or held to be secret"
    )


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        (
            "/usr/bin/bash: line 1: /data/new.txt: Permission denied",
            "/data/new.txt: let the operator add it to PENSTOCK",
        ),
        ("touch: cannot touch '/usr/new': Permission denied", "/usr/new: a workflow writes below the run's own folder"),
        ("sh: 1: cannot create /conda/bin/x: Permission denied", "/conda/bin/x: a workflow writes below the run's own"),
        ("touch: cannot touch '/users/me/new': Permission denied", "/users/me/new: a workflow writes below the run's"),
        ("sort: cannot create '/tmp/sortX': Permission denied", "/tmp/sortX: the folder for temporary files is the"),
    ],
)
def test_a_refused_write_is_named(line: str, reported: str) -> None:
    assert (why(line) or "").startswith(f"the sandbox refuses writing to {reported}")


@pytest.mark.parametrize(
    "line",
    [
        "cat: /data/x.txt: No such file or directory",
        "cat: data/own.txt: Permission denied",
        "cat: /nowhere/x.txt: Permission denied",
        "urllib.error.URLError: <urlopen error [Errno 111] Connection refused>",
        "/usr/bin/bash: line 1: ./tool.txt: Permission denied",
        "/usr/bin/bash: ./tool with blanks.txt: Permission denied",
        "/usr/bin/tool: Permission denied",
        "sh: 1: /usr/bin/tool: Permission denied",
    ],
)
def test_what_the_sandbox_did_not_do_is_not_explained_by_it(line: str) -> None:
    assert why(line) is None


@pytest.mark.parametrize(
    "line", ["cat: /data/x.txt: Permission denied", "touch: cannot touch '/data/n': Permission denied"]
)
def test_what_the_mode_of_a_file_refuses_is_not_the_sandbox_s_doing(line: str) -> None:
    assert why(line, closed_by_mode=("/data/x.txt", "/data")) is None


def test_a_command_that_cannot_be_executed_wrote_nothing() -> None:
    line = "/usr/bin/bash: line 1: /data/new.txt: Permission denied"
    assert why(line) is not None
    assert why(line, is_execution=True) is None


@pytest.mark.parametrize("path", ["/", "/root", "/srv", "/users/me", "/run/secrets", "/dev", "/var"])
def test_no_advice_opens_the_system_or_a_home_to_reading(path: str) -> None:
    assert "PENSTOCK_SANDBOX_READ" not in read_advice(path, ("/users/me",)).partition("that the operator can name")[0]


SYSTEM_PATHS = st.sampled_from(
    [
        *("/", "/usr", "/usr/bin", "/usr/bin/bash", "/bin/sh", "/etc/passwd", "/conda", "/conda/bin/x", "/users"),
        *("/users/me", "/users/me/.bashrc", "/root", "/var/lib/x", "/opt/tool", "/dev/sda", "/proc/1/mem", "/lib"),
        "/data/x",
    ]
)
WORDS = st.sampled_from(
    ["cannot touch", "line 3", "open", "", "bash", "[Errno 13]", ": ", "'", '"', "(", "for writing"]
)
REASONS = st.sampled_from(["Permission denied", "Read-only file system", "Insufficient permissions", "EACCES"])


@given(
    st.lists(st.one_of(SYSTEM_PATHS, WORDS, REASONS, st.text(max_size=12)), max_size=12),
    st.sampled_from([": ", " ", ""]),
)
def test_no_text_brings_the_advice_to_make_a_program_the_system_or_a_home_writable(parts: list[str], glue: str) -> None:
    places = ("/usr", "/bin", "/etc", "/conda/bin", "/users/me", "/root", "/var", "/opt", "/dev", "/proc", "/lib")
    machine = Machine(
        resolve=lambda path: "/" + os.path.normpath(os.path.join("/job", path)).lstrip("/"),  # noqa: PTH118 - text
        exists=lambda _: True,
        allows=lambda _path, _access: True,
        programs=("/conda/bin",),
        homes=("/users/me",),
    )
    hint = refusal([glue.join(parts)], Rules(read=("/",), write=("/job",)), machine)
    if hint is not None and "PENSTOCK_SANDBOX_WRITE" in hint:
        named = hint.removeprefix("the sandbox refuses writing to ").partition(": let the operator")[0]
        assert named.startswith("/")
        assert named not in ("/", "/users")
        assert not any(named == place or named.startswith(f"{place}/") for place in places), named


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_a_file_of_the_run_without_execute_permission_is_named(tmp_path: Path, mode: int) -> None:
    (tmp_path / "tool.txt").write_text("hello")
    (tmp_path / "tool.txt").chmod(mode)
    failure = Failure(
        cause=FailureCause.WORKFLOW,
        message="rule a failed with exit code 126: a command could not be executed",
        exit_code=126,
        stderr_tail="/usr/bin/bash: line 1: ./tool.txt: Permission denied",
    )
    message = explained(failure, Rules(read=("/usr",), write=(str(tmp_path),)), tmp_path).message
    assert ("tool.txt has no execute permission" in message) == (mode == 0o644)
    assert "sandbox" not in message


def test_a_missing_network_is_named() -> None:
    rules = Rules(read=RULES.read, write=RULES.write, network=False)
    for line in ("<urlopen error [Errno 13] Permission denied>", "curl: (6) Could not resolve host: example.org"):
        assert why(line, rules) == "the sandbox gives it no network: PENSTOCK_SANDBOX_NETWORK controls this"
