"""Which GPUs an attempt sees: by variables, and by the device files that it may open."""

from pathlib import Path

import pytest

from penstock_execution.sandbox.gpus import gpu_variables, other_devices
from penstock_runner.settings import RunnerSettings


@pytest.mark.parametrize(
    ("assigned", "cuda", "nvidia"), [((), "", "void"), (("0",), "0", "0"), (("2", "5"), "2,5", "2,5")]
)
def test_programs_see_the_assigned_gpus_and_no_others(assigned: tuple[str, ...], cuda: str, nvidia: str) -> None:
    assert gpu_variables(assigned) == {"CUDA_VISIBLE_DEVICES": cuda, "NVIDIA_VISIBLE_DEVICES": nvidia}


def test_the_device_files_of_other_gpus_are_taken_away(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia12", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert other_devices({"1"}, tmp_path) == (str(tmp_path / "nvidia0"), str(tmp_path / "nvidia12"))
    assert len(other_devices((), tmp_path)) == 3
    assert other_devices({"GPU-1b2c"}, tmp_path) == (), "a UUID does not name its device file"


@pytest.mark.parametrize(
    ("gpus", "ids"),
    [((), ()), (("0",), ()), (("2",), ("0", "1")), (("0", "2"), ("0", "2")), (("GPU-1b2c",), ("GPU-1b2c",))],
)
def test_gpus_are_set_as_a_count_or_by_their_ids(gpus: tuple[str, ...], ids: tuple[str, ...]) -> None:
    assert RunnerSettings(gpus=gpus).gpu_ids == ids
