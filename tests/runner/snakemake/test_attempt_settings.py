"""What an attempt sets before Snakemake reads the workflow: its own process, and the options that count."""

import subprocess
import sys
from pathlib import Path

import pytest

from penstock_engines.snakemake.attempt_process.graph import TaskNumbers
from penstock_engines.snakemake.attempt_process.graph_report import GraphReport
from penstock_engines.snakemake.attempt_process.profile import Profile
from penstock_engines.snakemake.attempt_process.software.provisions import Answers, Provisions
from penstock_engines.snakemake.attempt_process.software.unsupported import Software
from penstock_engines.snakemake.attempt_process.workflow_settings import AttemptContext, cores_of
from penstock_engines.snakemake.launching import Launch, encode_launch
from penstock_engines.snakemake.parameters import SnakemakeOptions
from penstock_execution.processes.event_pipe import NullReporter

PROGRAM = """
import os
import resource
import sys

from penstock_engines.snakemake.attempt_process.process_setup import prepare_process
from penstock_engines.snakemake.launching import decode_launch

prepare_process(decode_launch(sys.argv[1].encode()))
assert os.getcwd() == os.environ["EXPECTED"], os.getcwd()
assert "INHERITED" not in os.environ
assert os.read(0, 1) == b""
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (64, 64)
assert sys.argv == ["snakemake", "--snakefile", "Snakefile", "--cores", "2"], sys.argv
print("written", flush=True)
"""


def launch(folder: Path, *, cores: int = 4, options: SnakemakeOptions | None = None) -> Launch:
    return Launch(
        work_dir=str(folder),
        log_dir=str(folder),
        engine_log=str(folder / "engine.log"),
        snakefile="Snakefile",
        parameters={},
        cores=cores,
        environment={"EXPECTED": str(folder)},
        limits={"RLIMIT_NOFILE": 64},
        options=options or SnakemakeOptions(),
    )


@pytest.mark.parametrize(("attempt", "chosen", "cores"), [(4, None, 4), (4, 2, 2), (4, 9, 4)])
def test_a_submission_can_choose_fewer_cores_but_not_more(
    tmp_path: Path, attempt: int, chosen: int | None, cores: int
) -> None:
    assert cores_of(launch(tmp_path, cores=attempt, options=SnakemakeOptions(cores=chosen))) == cores


@pytest.mark.parametrize(
    ("given", "in_profile", "retries"),
    [(True, {"retries": 5}, 2), (False, {"retries": 5}, 5), (False, {}, 2)],
)
def test_an_option_of_the_submission_comes_before_the_profile_where_it_was_given(
    tmp_path: Path, *, given: bool, in_profile: dict[str, int], retries: int
) -> None:
    options = SnakemakeOptions(retries=2, given=("retries",) if given else ())
    context = AttemptContext(
        launch=launch(tmp_path, options=options),
        profile=Profile(values=in_profile),
        reporter=NullReporter(),
        numbers=TaskNumbers(),
        provisions=Provisions(NullReporter(), Answers()),
        graph=GraphReport(NullReporter(), TaskNumbers(), tmp_path, Software()),
    )
    assert context.chosen("retries") == retries


@pytest.mark.system
def test_the_process_gets_the_folder_environment_limits_and_log_of_the_attempt(tmp_path: Path) -> None:
    request = encode_launch(launch(tmp_path, options=SnakemakeOptions(cores=2)))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, request.decode()],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={"INHERITED": "1"},
        input="not for the attempt",
    )
    logs = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert done.returncode == 0, (done.stderr, logs)
    assert "written" in "".join(logs.values())
