"""Which limit of the runner a failure names, and with which numbers."""

import pytest

from penstock_engines.snakemake.resource_limits import LIMITS, Usage, named_limit, oom_kills
from penstock_schemas.jobs import Failure, FailureCause, LogFileTail

EVERY = {limit.name: 2_000_000_000 for limit in LIMITS}


def failure(text: str = "", exit_code: int | None = 1) -> Failure:
    return Failure(cause=FailureCause.WORKFLOW, message="rule r failed", exit_code=exit_code, stderr_tail=text or None)


@pytest.mark.parametrize(
    ("text", "requested"),
    [
        ("Traceback (most recent call last):\nMemoryError", None),
        ("tail: memory exhausted", None),
        ("terminate called after throwing an instance of 'std::bad_alloc'", None),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 22.4 GiB for an array with shape", "22.4 GiB"),
        ("Error: cannot allocate vector of size 3.0 Gb", "3.0 Gb"),
        ("memory allocation of 3000000000 bytes failed", "3000000000 bytes"),
        ("sort: cannot allocate memory", None),
        ("bash: fork: Cannot allocate memory", None),
        (
            "Error occurred during initialization of VM\nCould not reserve enough space for 3145728KB object heap",
            "3145728KB",
        ),
        ("./tool: error while loading shared libraries: x.so: failed to map segment from shared object", None),
    ],
)
def test_the_memory_limit_is_named_with_requested_and_used(text: str, requested: str | None) -> None:
    usage = Usage(peak_bytes=1_900_000_000, declared_mb=4000)
    message = named_limit(failure(text), {"RLIMIT_AS": 2_000_000_000}, usage).message
    assert "it ran out of memory" in message
    assert "2,000,000,000 bytes of memory (PENSTOCK_LIMIT_MEMORY_BYTES=2000000000)" in message
    assert "the largest process of the run used 1,900,000,000 bytes" in message
    assert "mem_mb=4000" in message
    assert (f"it requested {requested} at once" in message) == (requested is not None)


def test_what_a_log_file_holds_counts_too() -> None:
    logged = Failure(
        cause=FailureCause.WORKFLOW,
        message="rule r failed",
        exit_code=1,
        log_tails=(LogFileTail(path="a.log", text="MemoryError"),),
    )
    assert "PENSTOCK_LIMIT_MEMORY_BYTES" in named_limit(logged, EVERY, Usage()).message


@pytest.mark.parametrize(
    ("text", "exit_code", "expected"),
    [
        ("bash: fork: retry: Resource temporarily unavailable", 254, "PENSTOCK_LIMIT_PROCESSES=2000000000"),
        ("RuntimeError: can't start new thread", 1, "processes and threads"),
        ("OSError: [Errno 24] Too many open files: 'x'", 1, "open files"),
        ("", -25, "each file 2,000,000,000 bytes"),
        ("", 153, "each file 2,000,000,000 bytes"),
        ("dd: error writing 'x': File too large", 1, "each file 2,000,000,000 bytes"),
        ("", -24, "seconds of processor time"),
    ],
)
def test_other_limits_are_named(text: str, exit_code: int, expected: str) -> None:
    assert expected in named_limit(failure(text, exit_code), EVERY, Usage()).message


@pytest.mark.parametrize(
    "text", ["no such file", "killed", "", "the memory of it", "socket: Resource temporarily unavailable"]
)
def test_other_failures_name_no_limit(text: str) -> None:
    assert named_limit(failure(text), EVERY, Usage()) == failure(text)


@pytest.mark.parametrize("text", ["MemoryError", "Too many open files", "fork: Resource temporarily unavailable"])
def test_a_limit_that_is_not_in_force_is_not_named(text: str) -> None:
    assert named_limit(failure(text), {}, Usage()) == failure(text)


@pytest.mark.parametrize("exit_code", [-9, 137])
def test_the_kernel_s_killer_is_distinguished_from_the_limit(exit_code: int) -> None:
    assert named_limit(failure(exit_code=exit_code), EVERY, Usage()).message == "rule r failed"
    assert named_limit(failure(exit_code=exit_code), EVERY, Usage(oom_kills=None)).message.endswith("(out of memory?)")
    usage = Usage(oom_kills=1, peak_bytes=5_000, declared_mb=7)
    message = named_limit(failure(exit_code=exit_code), EVERY, usage).message
    assert "the kernel killed a process of this machine because its memory was full" in message
    assert "used 5,000 bytes, its rule declares mem_mb=7" in message


def test_the_kernel_counts_what_it_kills() -> None:
    found = oom_kills()
    assert found is None or found >= 0
