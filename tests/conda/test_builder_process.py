"""A builder is confined, reports, and leaves no process behind, however it ends."""

import os
from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec
import pytest

from penstock_execution.files.locks import try_lock
from penstock_execution.processes.builder_main import EXIT_FAULT, BuilderOrder
from penstock_execution.processes.builder_process import BuilderEnded, run_builder
from penstock_execution.sandbox.policy import SandboxPolicy
from penstock_execution.sandbox.rules import Rules

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]


class Seen:
    """What a builder reported."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.output = ""
        self.first = anyio.Event()

    def message(self, raw: bytes) -> None:
        self.messages.append(raw)
        self.first.set()

    def text(self, text: str) -> None:
        self.output += text


async def run(
    what: str,
    seen: Seen,
    *,
    hold: Sequence[int] = (),
    timeout_s: float = 60.0,
    rules: Rules | None = None,
    allowed: Path | None = None,
) -> BuilderEnded:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ALLOWED": str(allowed)}
    order = BuilderOrder(request=msgspec.Raw(msgspec.json.encode(what)), rules=rules, limits={"RLIMIT_NOFILE": 200})
    return await run_builder(
        "tests.conda.small_builder",
        order,
        environment=environment,
        on_message=seen.message,
        on_output=seen.text,
        timeout_s=timeout_s,
        hold=hold,
    )


async def lock_of_build(path: Path) -> None:
    """Wait until no process of a build holds the lock."""
    with anyio.fail_after(30):
        while (lock := try_lock(path)) is None:  # noqa: ASYNC110 - of another process
            await anyio.sleep(0.02)
    lock.release()


async def test_messages_and_output_arrive() -> None:
    seen = Seen()
    assert await run("report", seen) == BuilderEnded(exit_code=0)
    assert seen.messages == [b"one", b"two"]
    assert seen.output == "written\n"


async def test_a_fault_is_an_exit_code_with_its_text() -> None:
    seen = Seen()
    assert await run("fail", seen) == BuilderEnded(exit_code=EXIT_FAULT)
    assert seen.output == "the builder failed: ValueError: as requested\n"


async def test_a_builder_has_limits_and_the_environment_that_it_was_given() -> None:
    seen = Seen()
    await run("show", seen)
    [text] = seen.messages
    assert text.startswith(b"limit 200 ")
    assert b"HOME" not in text


async def test_a_hidden_process_ends_with_its_builder(tmp_path: Path) -> None:
    lock, seen = try_lock(tmp_path / "lock"), Seen()
    assert lock is not None
    assert await run("hide", seen, hold=[lock.descriptor]) == BuilderEnded(exit_code=0)
    lock.release()
    again = try_lock(tmp_path / "lock")
    assert again is not None, "a process of the build still holds the lock"
    again.release()


async def test_a_builder_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "lock")
    assert lock is not None
    ended = await run("wait", Seen(), hold=[lock.descriptor], timeout_s=1.5)
    assert ended.was_killed
    lock.release()
    await lock_of_build(tmp_path / "lock")


async def test_a_cancelled_builder_is_killed_before_the_cancellation_goes_on(tmp_path: Path) -> None:
    lock, seen = try_lock(tmp_path / "lock"), Seen()
    assert lock is not None
    async with anyio.create_task_group() as group:

        async def build() -> None:
            await run("wait", seen, hold=[lock.descriptor])

        group.start_soon(build)
        await seen.first.wait()
        group.cancel_scope.cancel()
    lock.release()
    again = try_lock(tmp_path / "lock")
    assert again is not None
    again.release()


async def test_a_builder_writes_where_its_rules_allow_it(tmp_path: Path, build_sandbox: SandboxPolicy | None) -> None:
    if build_sandbox is None:
        pytest.skip("nothing can be confined on this machine")
    seen = Seen()
    rules = Rules(read=(*build_sandbox.read, str(ROOT)), write=(str(tmp_path),), devices=build_sandbox.devices)
    await run("write", seen, rules=rules, allowed=tmp_path / "file")
    assert seen.messages == [b"refused", b"written"]
