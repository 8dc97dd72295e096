"""Workflows of remote files in the whole system: pinned in the log, repeated without their hosts, and after kill -9."""

import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.conda.channel import make_channel
from tests.sources.http_fixture_server import FixtureServer, fixture_server, repository
from tests.system.processes import System, running_system, wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 60.0
MODULE = 'rule made:\n    output: "made.txt"\n    conda: "envs/greet.yaml"\n    script: "scripts/make.py"\n'
ENVIRONMENT = "channels: [lab]\ndependencies: [greet]\n"
SCRIPT = 'open(snakemake.output[0], "w").write("first")\n'
WRAPPER = 'from snakemake.shell import shell\nshell("greet wrapped > {snakemake.output}")\n'
SNAKEFILE = """
module flow:
    snakefile: "{url}/lab/flow/raw/main/Snakefile"
use rule * from flow
include: "https://example.org/extra.smk"
rule all:
    input: "made.txt", "wrapped.txt", "extra.txt"
    default_target: True
rule wrapped:
    output: "wrapped.txt"
    wrapper: "v1.0.0/bio/tool"
"""


class Site:
    """The system, and a server in place of every host: it has a git repository, whose files are pages too."""

    def __init__(self, system: System, server: FixtureServer, folder: Path) -> None:
        self.system = system
        self.server = server
        self.folder = folder
        server.pages |= {
            "/site/extra.smk": b'rule extra:\n    output: "extra.txt"\n    shell: "echo extra > {output}"\n',
            "/raw/snakemake/snakemake-wrappers/v1.0.0/bio/tool/wrapper.py": WRAPPER.encode(),
            "/raw/snakemake/snakemake-wrappers/v1.0.0/bio/tool/environment.yaml": ENVIRONMENT.encode(),
        }

    def commit(self, script: str) -> str:
        """Make a commit of the branch `main`."""
        files = {"Snakefile": MODULE, "scripts/make.py": script, "envs/greet.yaml": ENVIRONMENT}
        commit = repository(self.folder, files)
        self.server.pages |= {f"/lab/flow/raw/{commit}/{name}": text.encode() for name, text in files.items()}
        return commit

    def submit(self) -> str:
        body = {
            "pipeline_name": "flow",
            "source": {"files": {"Snakefile": SNAKEFILE.format(url=self.server.url)}},
        }
        status, job = self.system.post("/jobs", body)
        assert status == 201, job
        return str(job["id"])

    def job(self, job_id: str) -> Any:
        return self.system.get(f"/jobs/{job_id}")[1]

    def ended(self, job_id: str) -> Any:
        def is_over() -> bool:
            return self.job(job_id)["status"] in {"completed", "failed", "cancelled"}

        wait_until(is_over, deadline_s=DEADLINE_S, what=lambda: str(self.job(job_id)))
        return self.job(job_id)

    def output(self, job_id: str, path: str) -> bytes:
        response = self.system.http.request("GET", f"{self.system.url}/jobs/{job_id}/outputs/{path}", timeout=15.0)
        assert response.status == 200, response.data
        return response.data

    def events(self, job_id: str) -> list[Any]:
        return [item for item in self.system.get(f"/jobs/{job_id}/events")[1]["events"] if item["type"] == PINNED]

    def fetches(self, job_id: str) -> list[Any]:
        return [item for item in self.system.get(f"/jobs/{job_id}/tasks")[1]["tasks"] if item.get("kind") == "fetch"]


PINNED = "RemoteSourcesPinned"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    root = tmp_path_factory.mktemp("remote")
    folder = root / "repositories" / "lab" / "flow"
    folder.mkdir(parents=True)
    with fixture_server(repositories=root / "repositories") as server:
        mirrors = {
            "https://raw.githubusercontent.com/": f"{server.url}/raw/",
            "https://example.org/": f"{server.url}/site/",
        }
        settings = {
            "PENSTOCK_SOURCE_HOSTS": f"127.0.0.1:{server.port}",
            "PENSTOCK_SOURCE_ALLOW_PRIVATE": "true",
            "PENSTOCK_SOURCE_MIRRORS": ",".join(f"{prefix}={target}" for prefix, target in mirrors.items()),
            "PENSTOCK_SANDBOX_NETWORK": "never",
            "PENSTOCK_CONDA_CHANNELS": f"lab={make_channel(root / 'lab').as_uri()}",
        }
        # Environments contain their path, which pytest's folders make long.
        with tempfile.TemporaryDirectory(prefix="penstock") as short:
            settings["PENSTOCK_CONDA_DIR"] = f"{short}/conda"
            with running_system(Path(short), **settings) as system:
                yield Site(system, server, folder)


def test_a_run_survives_a_kill_while_it_fetches_and_is_repeated_without_its_hosts(site: Site) -> None:
    first = site.commit(SCRIPT)
    site.server.is_silent = True
    job_id = site.submit()
    runner = site.system.services["runner"]
    wait_until(
        lambda: any(item["state"] == "running" for item in site.fetches(job_id)),
        deadline_s=DEADLINE_S,
        what=lambda: f"{site.job(job_id)}\n{runner.tail()}",
    )
    runner.kill()
    site.server.is_silent = False
    runner.start()
    job = site.ended(job_id)
    assert (job["status"], job["attempt"]) == ("completed", 2), job
    assert site.output(job_id, "made.txt") == b"first"
    assert site.output(job_id, "wrapped.txt") == b"greet 2.0 wrapped\n"
    (pinned,) = site.events(job_id)
    assert [(item["ref"], item["commit"]) for item in pinned["data"]["refs"]] == [("main", first)]
    assert {"Snakefile", "make.py", "wrapper.py", "extra.smk"} <= {
        item["name"].rpartition("/")[2] for item in site.fetches(job_id)
    }

    # The branch moves on and the host disappears; the same source gives the same run.
    site.commit(SCRIPT.replace("first", "second"))
    site.server.is_silent = True
    again = site.submit()
    assert site.ended(again)["status"] == "completed", runner.tail()
    assert site.output(again, "made.txt") == b"first"
    assert site.events(again)[0]["data"]["refs"] == pinned["data"]["refs"]
    assert site.fetches(again) == []

    # Also on a runner that has nothing of it, when the first run is deleted.
    status = site.system.http.request("DELETE", f"{site.system.url}/jobs/{job_id}", timeout=15.0).status
    assert status == 204
    runner.stop()
    site.system.services.pop("runner")
    site.system.add("other", "penstock_runner", PENSTOCK_RUNNER_NAME="other")
    code, repeated = site.system.post(f"/jobs/{again}/rerun", {})
    assert code == 201, repeated
    third = str(repeated["id"])
    assert site.ended(third)["status"] == "completed", site.system.services["other"].tail()
    assert site.output(third, "made.txt") == b"first"
