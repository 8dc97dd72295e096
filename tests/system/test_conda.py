"""Runs get the packages that they declare, from a real channel, solved and installed by the real library."""

import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.conda.channel import make_channel
from tests.conda.channel_server import ChannelServer, channel_server
from tests.system.processes import System, running_system, wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 120.0
SNAKEFILE = """
rule all:
    input: "native.txt", "prefixed.txt", "pinned.txt"
rule native:
    output: "native.txt"
    conda: "envs/native.yaml"
    shell: "native {config[who]} > {output}; cat $CONDA_PREFIX/deployed >> {output}; echo $ACTIVATED_IN >> {output}"
rule prefixed:
    output: "prefixed.txt"
    conda: "envs/native.yaml"
    shell: "prefixed > {output}; touch $CONDA_PREFIX/written 2>> {output} || echo refused >> {output}"
rule pinned:
    output: "pinned.txt"
    conda: "envs/pinned.yaml"
    shell: "greet > {output}"
"""
NATIVE = "channels: [lab]\ndependencies: [native, prefixed, activated]\n"
POST_DEPLOY = 'echo deployed > "$CONDA_PREFIX/deployed"\n'
ONE_RULE = """
rule all:
    output: "a.txt"
    conda: "envs/a.yaml"
    shell: "{program} > {{output}}"
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChannelServer]:
    """The channel over HTTP, as those of the world are."""
    with channel_server(make_channel(tmp_path_factory.mktemp("lab"))) as server:
        yield server


@pytest.fixture(scope="module")
def system(lab: ChannelServer) -> Generator[System]:
    # Environments contain their path, which pytest's folders make long.
    with (
        tempfile.TemporaryDirectory(prefix="penstock") as root,
        running_system(
            Path(root),
            PENSTOCK_CONDA_CHANNELS=f"lab={lab.url}",
            PENSTOCK_SLOTS="4",
        ) as system,
    ):
        yield system


def submit(system: System, files: dict[str, str]) -> str:
    body = {"pipeline_name": "conda", "engine": "snakemake", "parameters": {"who": "ada"}, "source": {"files": files}}
    status, job = system.post("/jobs", body)
    assert status == 201, job
    return str(job["id"])


def ended(system: System, job_id: str) -> Any:
    def is_over() -> bool:
        return system.get(f"/jobs/{job_id}")[1]["state"] in ("COMPLETED", "FAILED", "CANCELLED")

    wait_until(is_over, deadline_s=DEADLINE_S, what=lambda: str(system.get(f"/jobs/{job_id}")))
    return system.get(f"/jobs/{job_id}")[1]


def output(system: System, job_id: str, path: str) -> str:
    return system.http.request("GET", f"{system.url}/jobs/{job_id}/outputs/{path}", timeout=30.0).data.decode()


def steps(system: System, job_id: str) -> list[Any]:
    return [task for task in system.get(f"/jobs/{job_id}/tasks")[1]["tasks"] if task.get("kind") == "environment"]


def test_a_workflow_runs_with_the_packages_that_it_declares(system: System, lab: ChannelServer) -> None:
    pin = f"{lab.url}/noarch/greet-1.0-0.tar.bz2"
    job_id = submit(
        system,
        {
            "Snakefile": SNAKEFILE,
            "envs/native.yaml": NATIVE,
            "envs/native.post-deploy.sh": POST_DEPLOY,
            "envs/pinned.yaml": "channels: [lab]\ndependencies: [greet]\n",
            "envs/pinned.linux-64.pin.txt": f"@EXPLICIT\n{pin}\n",
        },
    )
    job = ended(system, job_id)
    assert job["state"] == "COMPLETED", (job, system.services["runner"].tail())
    native, deployed, activated = output(system, job_id, "native.txt").splitlines()
    assert (native, deployed) == ("native 1.2 ada", "deployed")
    assert output(system, job_id, "prefixed.txt").splitlines()[0] == f"installed in {activated}"
    assert output(system, job_id, "prefixed.txt").splitlines()[-1] == "refused", "an environment is read-only"
    assert output(system, job_id, "pinned.txt") == "greet 1.0\n", "the pinned one, not the newest"
    assert sorted(step["state"] for step in steps(system, job_id)) == ["completed", "completed"]
    assert all(step["stdout_key"] for step in steps(system, job_id)), "the log of a preparation is stored"
    assert job["tasks"]["total"] == 4, "preparations are not counted"
    software = {item["label"]: item for item in system.get(f"/jobs/{job_id}/software")[1]["items"]}
    assert [item["version"] for item in software["envs/pinned.yaml"]["packages"]] == ["1.0"]
    assert {"native", "prefixed", "activated"} <= {item["name"] for item in software["envs/native.yaml"]["packages"]}
    assert all(item["sha256"] for item in software["envs/native.yaml"]["packages"])


def test_two_runs_at_once_share_one_build(system: System) -> None:
    files = {
        "Snakefile": ONE_RULE.format(program="linked"),
        "envs/a.yaml": "channels: [lab]\ndependencies: [linked, greet=1.0]\n",
    }
    first, second = submit(system, files), submit(system, files)
    assert ended(system, first)["state"] == ended(system, second)["state"] == "COMPLETED"
    log = Path(system.services["runner"].log).read_text()
    assert log.count("envs/a.yaml") == 1, "it was built once"


def test_what_cannot_be_solved_fails_the_run_with_the_solvers_text(system: System) -> None:
    job_id = submit(
        system,
        {
            "Snakefile": ONE_RULE.format(program="greet"),
            "envs/a.yaml": "channels: [lab]\ndependencies: [wants-old, wants-new]\n",
        },
    )
    job = ended(system, job_id)
    assert job["state"] == "FAILED"
    assert "cannot be solved" in job["failure"]["message"]
    assert "greet >=2" in job["failure"]["stderr_tail"]
    [step] = steps(system, job_id)
    assert step["state"] == "failed"


def test_a_build_continues_after_the_runner_was_killed(system: System, lab: ChannelServer) -> None:
    lab.stalled.clear()
    lab.stalls_at = "large-1.0"
    job_id = submit(
        system,
        {
            "Snakefile": ONE_RULE.format(program="greet"),
            "envs/a.yaml": "channels: [lab]\ndependencies: [large, greet]\n",
        },
    )
    assert lab.stalled.wait(DEADLINE_S), system.services["runner"].tail()
    system.services["runner"].kill()
    lab.stalls_at = None
    system.services["runner"].start()
    job = ended(system, job_id)
    assert job["state"] == "COMPLETED", (job, system.services["runner"].tail())
    assert output(system, job_id, "a.txt") == "greet 2.0\n"
    keys = list((system.root / "state/runner/conda/environments").iterdir())
    assert all((key / "manifest.json").exists() for key in keys if not (key / "failure.json").exists())


def test_a_plan_lists_what_would_be_prepared(system: System) -> None:
    """What is there, what is not, and what no operator allows; nothing is built."""
    environments = {
        "there": "channels: [lab]\ndependencies: [greet=1.0]\n",
        "new": "channels: [lab]\ndependencies: [greet, native]\n",
        "other": "channels: [elsewhere]\ndependencies: [greet]\n",
    }
    files = {f"envs/{name}.yaml": text for name, text in environments.items()}
    rule = 'rule {0}:\n    output: "{0}.txt"\n    conda: "envs/{0}.yaml"\n    shell: "greet > {{output}}"\n'
    first = submit(system, {"Snakefile": rule.format("there"), "envs/there.yaml": environments["there"]})
    assert ended(system, first)["state"] == "COMPLETED"
    snakefile = 'rule all:\n    input: "there.txt", "new.txt", "other.txt"\n' + "".join(map(rule.format, environments))
    body = {"pipeline_name": "p", "engine": "snakemake", "source": {"files": {"Snakefile": snakefile, **files}}}
    status, plan = system.post("/jobs?dry_run=true", body)
    assert status == 200, plan
    planned = {item["label"]: item for item in plan["software"]}
    assert planned["envs/there.yaml"]["is_cached"]
    assert not planned["envs/new.yaml"].get("is_cached")
    assert "elsewhere" in planned["envs/other.yaml"]["problem"]
    assert "envs/other.yaml" in plan["refusal"]
