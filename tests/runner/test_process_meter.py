"""What processes of an attempt use, measured on real ones."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from tests.runner.snakemake.engine_harness import until

from penstock_execution.processes import process_meter
from penstock_execution.processes.kernel_counts import counted_use
from penstock_execution.processes.process_meter import ProcessMeter, combined, sample_of
from penstock_schemas.measurements import MeasuredResources

pytestmark = pytest.mark.system

MIB = 1 << 20
LARGE = "x = bytearray(60 << 20); import os, sys; print('ready', flush=True); sys.stdin.read()"
"""A program that holds 60 MiB until its standard input ends."""
BUSY = "import time\nwhile time.process_time() < 0.2: pass\nprint('ready', flush=True)\nimport sys; sys.stdin.read()"


@contextmanager
def running(program: str, *, within_shell: bool = False) -> Generator[int]:
    """Run a program of Python that is ready, in a shell or not; give the id of the process that was started."""
    command = [sys.executable, "-c", program]
    if within_shell:
        command = ["/bin/sh", "-c", '"$@"; exit', "sh", *command]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate()


def test_the_memory_of_what_a_process_starts_counts() -> None:
    meter = ProcessMeter(os.getpid())
    with running(LARGE, within_shell=True) as shell, running("print('ready', flush=True); input()") as other:
        meter.begin(1, shell)
        meter.begin(2, other)
        meter.sample()
        large, small = meter.end(1), meter.end(2)
    assert 60 * MIB < (large.peak_memory_bytes or 0) < 200 * MIB
    assert 1 * MIB < (small.peak_memory_bytes or 0) < 50 * MIB
    assert (meter.whole.peak_memory_bytes or 0) > 60 * MIB
    assert meter.running == ()


def test_processor_time_counts_while_a_process_runs() -> None:
    meter = ProcessMeter(os.getpid())
    with running(BUSY, within_shell=True) as shell:
        meter.begin(1, shell)
        meter.sample()
        measured = meter.end(1)
    assert 0.1 < (measured.user_s or 0) + (measured.system_s or 0) < 10


def test_what_is_gone_keeps_its_last_measurement() -> None:
    meter = ProcessMeter(os.getpid())
    with running(LARGE) as process:
        meter.begin(1, process)
        meter.sample()
    assert sample_of(process) is None
    meter.sample()
    assert (meter.end(1).peak_memory_bytes or 0) > 60 * MIB


def test_a_process_that_is_no_descendant_is_not_measured() -> None:
    meter = ProcessMeter(os.getpid())
    meter.begin(1, os.getppid())
    meter.sample()
    assert meter.end(1) == MeasuredResources()
    assert meter.end(2) == MeasuredResources()


def test_a_sample_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_meter, "MAX_PROCESSES", 1)
    meter = ProcessMeter(os.getpid())
    with running(LARGE) as process:
        meter.begin(1, process)
        meter.sample()
        assert meter.end(1) == MeasuredResources()


async def test_samples_are_taken_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_meter, "MIN_PAUSE_S", 0.01)
    meter = ProcessMeter(os.getpid())
    with running(LARGE) as process:
        meter.begin(1, process)
        async with anyio.create_task_group() as group:
            group.start_soon(meter.follow)
            await until(lambda: meter.whole.peak_memory_bytes is not None)
            group.cancel_scope.cancel()
        assert (meter.end(1).peak_memory_bytes or 0) > 60 * MIB


def test_the_kernel_counts_processes_until_they_are_collected(tmp_path: Path) -> None:
    program = f"open({str(tmp_path / 'written')!r}, 'wb').write(bytes(1 << 20))\n{LARGE}"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    counted = counted_use([used, used])
    assert (counted.peak_memory_bytes or 0) > 60 * MIB
    assert (counted.user_s or 0) > 0
    assert counted.written_bytes is not None
    assert counted.written_bytes == 2 * counted_use([used]).written_bytes  # type: ignore[operator]  # it is a number


def test_the_larger_peak_counts_and_the_times_of_the_kernel() -> None:
    sampled = MeasuredResources(peak_memory_bytes=5, user_s=1.0, read_bytes=3)
    assert combined(sampled, None) == sampled
    counted = MeasuredResources(peak_memory_bytes=None, user_s=2.0, system_s=0.5, read_bytes=7, written_bytes=9)
    assert combined(sampled, counted) == MeasuredResources(
        peak_memory_bytes=5, user_s=2.0, system_s=0.5, read_bytes=7, written_bytes=9
    )
    larger = MeasuredResources(peak_memory_bytes=8)
    assert combined(sampled, larger).peak_memory_bytes == 8
    assert combined(MeasuredResources(), MeasuredResources()).peak_memory_bytes is None
