"""What an attempt's process reports of its use is bounded."""

import resource

import msgspec
import pytest

from penstock_engines.snakemake.counted_use import CountedUse, use_of
from penstock_schemas.measurements import MeasuredResources

USE = {"user_s": 1.5, "system_s": 0.25, "read_bytes": 3, "written_bytes": 4}


def test_a_use_is_shown_as_a_measurement() -> None:
    measured = msgspec.convert(USE | {"largest_bytes": 5}, CountedUse).measured
    assert measured == MeasuredResources(peak_memory_bytes=5, user_s=1.5, system_s=0.25, read_bytes=3, written_bytes=4)


@pytest.mark.parametrize(
    "change",
    [
        {"user_s": -0.1},
        {"user_s": float("nan")},
        {"system_s": float("inf")},
        {"read_bytes": -1},
        {"written_bytes": 1 << 63},
        {"largest_bytes": "5"},
        {"other": 1},
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(USE | change, CountedUse)


def test_the_memory_of_this_process_is_not_that_of_a_command() -> None:
    own = resource.getrusage(resource.RUSAGE_SELF)
    command, fork = use_of([own], is_command=True), use_of([own, own], is_command=False)
    assert command is not None
    assert fork is not None
    assert command.largest_bytes is None
    assert fork.largest_bytes == own.ru_maxrss * 1024
    assert fork.user_s == 2 * command.user_s > 0
    assert use_of([], is_command=True) is None
