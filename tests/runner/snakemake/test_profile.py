"""The profile beside a Snakefile: honoured with Snakemake's own meaning, or named."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_domain.scheduling.preflight import ALLOW
from penstock_schemas.jobs import FindingKind

pytestmark = pytest.mark.system

SNAKEFILE = """
    rule all:
        input: "p.txt"
    rule p:
        output: "p.txt"
        threads: 1
        resources: mem_mb=7
        shell: "echo sample={config[sample]} count={config[count]} threads={threads} mem={resources.mem_mb} > {output}"
"""
PROFILE = """
    cores: 2
    printshellcmds: true
    config:
      - sample=fromprofile
      - count=3
    set-threads:
      p: 2
    set-resources:
      p:
        mem_mb: 99
"""


def bare(harness: EngineHarness, folder: Path) -> str:
    """Return what the bare command makes of the same folder."""
    shutil.copytree(harness.work, folder)
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return (folder / "p.txt").read_text()


@pytest.mark.parametrize("place", ["profiles/default/config.yaml", "profiles/default/profile.yaml"])
async def test_a_profile_has_the_effect_that_it_has_for_the_bare_command(
    harness: EngineHarness, tmp_path: Path, place: str
) -> None:
    harness.write({"Snakefile": SNAKEFILE, place: PROFILE})
    expected = bare(harness, tmp_path / "bare")
    outcome = await harness.succeed(cores=2)
    assert (harness.work / "p.txt").read_text() == expected == "sample=fromprofile count=3 threads=2 mem=99\n"
    (notice,) = outcome.findings
    assert notice.kind is FindingKind.NOTICE
    assert "cores, printshellcmds" in notice.message


async def test_the_profile_beside_a_snakefile_in_a_folder_is_found(harness: EngineHarness) -> None:
    harness.write({"workflow/Snakefile": SNAKEFILE, "workflow/profiles/default/config.yaml": PROFILE})
    await harness.succeed(cores=2)
    assert "fromprofile" in (harness.work / "p.txt").read_text()


async def test_what_the_submission_chooses_goes_over_the_profile(harness: EngineHarness) -> None:
    harness.write({"Snakefile": SNAKEFILE, "profiles/default/config.yaml": PROFILE})
    await harness.succeed(parameters={"sample": "mine"}, cores=2, engine_parameters={"set-threads": "p=1"})
    assert (harness.work / "p.txt").read_text() == "sample=mine count=3 threads=1 mem=99\n"


async def test_the_configuration_files_of_a_profile_are_read(harness: EngineHarness) -> None:
    harness.write(
        {
            "Snakefile": SNAKEFILE,
            "config/a.yaml": "sample: fromfile\ncount: 1\n",
            "profiles/default/config.yaml": "configfile: config/a.yaml\n",
        }
    )
    await harness.succeed(parameters={"count": 5})
    assert "sample=fromfile count=5" in (harness.work / "p.txt").read_text()


@pytest.mark.parametrize(
    "entry",
    [
        "executor: slurm",
        "default-storage-provider: s3",
        "immediate-submit: true",
        "directory: elsewhere",
        "no-such-option: 1",
        "touch: true",
    ],
)
async def test_what_is_not_honoured_is_refused_by_name(harness: EngineHarness, entry: str) -> None:
    harness.write({"Snakefile": SNAKEFILE, "profiles/default/config.yaml": entry + "\n"})
    failure = await harness.fail(parameters={"sample": "a", "count": 1})
    name, _, value = entry.partition(": ")
    assert f"the profile profiles/default/config.yaml sets `{name}: {value.replace('true', 'True')}`" in failure.message
    assert f"--{ALLOW}" in failure.message
    assert not (harness.work / "p.txt").exists()
    assert (await harness.succeed(parameters={"sample": "a", "count": 1}, engine_parameters={ALLOW: None})).findings


async def test_a_plan_reports_a_profile_that_is_not_honoured(harness: EngineHarness) -> None:
    harness.write({"Snakefile": SNAKEFILE, "profiles/default/config.yaml": "executor: slurm\n"})
    outcome = await harness.succeed(parameters={"sample": "a", "count": 1}, is_dry=True)
    assert [finding.directive for finding in outcome.findings] == ["executor"]
    assert outcome.refusal is not None


@pytest.mark.parametrize(
    "text", ["- no\n- mapping\n", "a: [\n", "retries: many\n", "keep-going: perhaps\n", "set-threads: p\n"]
)
async def test_a_profile_that_cannot_be_read_fails_the_run_with_the_reason(harness: EngineHarness, text: str) -> None:
    harness.write({"Snakefile": SNAKEFILE, "profiles/default/config.yaml": text})
    failure = await harness.fail(parameters={"sample": "a", "count": 1})
    assert "profile" in failure.message


async def test_settings_that_are_off_are_not_reported(harness: EngineHarness) -> None:
    profile = "executor: local\nall-temp: false\nkeep-going: true\nretries: 1\n"
    harness.write({"Snakefile": SNAKEFILE, "profiles/default/config.yaml": profile})
    assert (await harness.succeed(parameters={"sample": "a", "count": 1})).findings == ()


async def test_the_submission_chooses_another_profile_of_the_source_or_none(harness: EngineHarness) -> None:
    large = PROFILE.replace("fromprofile", "fromlarge")
    harness.write(
        {"Snakefile": SNAKEFILE, "profiles/default/config.yaml": PROFILE, "profiles/large/config.yaml": large}
    )
    await harness.succeed(cores=2, engine_parameters={"workflow-profile": "large"})
    assert "fromlarge" in (harness.work / "p.txt").read_text()
    chosen = {"workflow-profile": "none", "forceall": None}
    await harness.succeed(parameters={"sample": "mine", "count": 1}, cores=2, engine_parameters=chosen)
    assert (harness.work / "p.txt").read_text() == "sample=mine count=1 threads=1 mem=7\n"


async def test_a_profile_that_is_not_there_is_named(harness: EngineHarness) -> None:
    failure = await harness.fail(SNAKEFILE, engine_parameters={"workflow-profile": "larg"})
    assert "the source has no profile 'larg'" in failure.message
    assert "profiles/larg" in failure.message
