"""Workflows that are made of files on other hosts: fetched by the runner, pinned, and run in the sandbox."""

import re
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
from tests.runner.snakemake.conda_provider import FolderProvider
from tests.runner.snakemake.engine_harness import EngineHarness
from tests.sources.http_fixture_server import FixtureServer, fixture_server

from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_runner.confinement import policy
from penstock_runner.remote_sources.pin_store import PinStore
from penstock_runner.remote_sources.run_sources import RunSources
from penstock_runner.settings import RunnerSettings
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import FailureCause
from penstock_schemas.views import Task, TaskKind, TaskState
from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.remote.file_cache import FileCache
from penstock_sources.remote.mirrors import parse_mirrors
from penstock_sources.remote.remote_files import RemoteFiles
from penstock_sources.spool import Spool
from penstock_testing.memory import MemoryBlobs

pytestmark = pytest.mark.system

FLOW = "/raw/lab/flow/main/workflow"
WRAPPERS = "/raw/snakemake/snakemake-wrappers"
PAGES = {
    f"{FLOW}/Snakefile": 'include: "rules/made.smk"\n',
    f"{FLOW}/rules/made.smk": (
        'rule made:\n    output: report("module.txt", caption="../report/made.rst")\n    params: word=config["word"]\n'
        '    conda: "../envs/tool.yaml"\n    script: "../scripts/make.py"\n'
    ),
    f"{FLOW}/report/made.rst": "Made by {{ snakemake.rule }}.\n",
    f"{FLOW}/envs/tool.yaml": "dependencies: [tool]\n",
    f"{FLOW}/scripts/make.py": 'open(snakemake.output[0], "w").write(snakemake.params.word)\n',
    f"{WRAPPERS}/v1.0.0/bio/tool/wrapper.py": (
        'from snakemake.shell import shell\nshell("tool {snakemake.params.extra} > {snakemake.output}")\n'
    ),
    f"{WRAPPERS}/v1.0.0/bio/tool/environment.yaml": "dependencies: [tool]\n",
    "/site/extra.smk": 'rule extra:\n    output: "extra.txt"\n    shell: "echo extra > {output}"\n',
}
SNAKEFILE = """
    module other:
        snakefile: github("lab/flow", path="workflow/Snakefile", branch="main")
        config: {"word": "from a module"}
    use rule * from other as other_*
    include: "https://example.org/extra.smk"
    rule all:
        input: "module.txt", "wrapped.txt", "extra.txt"
        default_target: True
    rule wrapped:
        output: "wrapped.txt"
        params: extra="x"
        wrapper: "v1.0.0/bio/tool"
    """


class Site:
    """One blob store for several runners, and a server in place of all hosts."""

    def __init__(self, root: Path, server: FixtureServer) -> None:
        self.root = root
        self.server = server
        self.blobs = MemoryBlobs()
        server.pages |= {path: text.encode() for path, text in PAGES.items()}

    def sources(self, job: str, *, runner: str = "r1", is_plan: bool = False) -> RunSources:
        url = self.server.url
        hosts = {"raw.githubusercontent.com": "raw", "example.org": "site", "gitlab.com": "gitlab"}
        mirrors = [f"https://{host}/={url}/{folder}/" for host, folder in hosts.items()]
        cache = FileCache(self.root / "state" / runner / "cache")
        cache.prepare()
        store = PinStore(self.blobs, tenant=DEFAULT_TENANT, job_id=None if is_plan else JobId(job), source=None)
        files = RemoteFiles(SourceHosts(), parse_mirrors(mirrors), Spool(self.root / "spool"))
        return RunSources(files, cache, store, is_plan=is_plan)


@pytest.fixture(scope="module")
async def remote_engine(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[SnakemakeEngine, Path]]:
    """An engine in its sandbox, without a network, whose runner provides conda environments."""
    root = tmp_path_factory.mktemp("remote")
    settings = RunnerSettings(state_dir=root / "state", blobs=str(root / "blobs"))
    provider = FolderProvider(root / "state" / "environments")
    async with SnakemakeEngine({}, sandbox=policy(settings, {}), providers=[provider]) as engine:
        yield engine, root


@pytest.fixture
def site(remote_engine: tuple[SnakemakeEngine, Path]) -> Generator[Site]:
    with fixture_server() as server:
        yield Site(remote_engine[1], server)


def harness(remote_engine: tuple[SnakemakeEngine, Path], folder: Path, sources: RunSources) -> EngineHarness:
    made = EngineHarness(remote_engine[0], folder)
    made.providers = (sources,)
    return made


def fetches(harness: EngineHarness) -> list[Task]:
    return [task for task in harness.emitted.tasks.values() if task.kind is TaskKind.FETCH]


async def test_a_workflow_of_remote_files_runs_again_when_their_hosts_are_gone(
    remote_engine: tuple[SnakemakeEngine, Path], site: Site, tmp_path: Path
) -> None:
    first = harness(remote_engine, tmp_path / "a", site.sources("j1"))
    outcome = await first.succeed(SNAKEFILE)
    assert [file.report.caption for file in outcome.produced.files if file.report] == ["Made by other_made."]
    assert (first.work / "module.txt").read_text() == "from a module"
    assert (first.work / "wrapped.txt").read_text().endswith("/bin/tool x\n")
    assert (first.work / "extra.txt").read_text() == "extra\n"
    steps = {task.name.rpartition("/")[2]: task for task in fetches(first)}
    assert {"Snakefile", "made.smk", "tool.yaml", "make.py", "wrapper.py", "environment.yaml", "extra.smk"} <= set(
        steps
    )
    assert {task.state for task in steps.values()} == {TaskState.COMPLETED}
    assert steps["environment.linux-64.pin.txt"].message == "there is no such file"
    assert all(task.started_at and task.ended_at for task in steps.values())

    # The branch moves on, and then the host is gone: the same run still has the same files.
    site.server.pages[f"{FLOW}/scripts/make.py"] = b'open(snakemake.output[0], "w").write("other")\n'
    site.server.server.shutdown()
    requests = len(site.server.requests)
    second = harness(remote_engine, tmp_path / "b", site.sources("j1", runner="r2"))
    await second.succeed(SNAKEFILE)
    assert (second.work / "module.txt").read_text() == "from a module"
    assert fetches(second) == []
    assert len(site.server.requests) == requests
    third = harness(remote_engine, tmp_path / "c", site.sources("j1"))
    outcome = await third.run(SNAKEFILE, is_dry=True)
    assert outcome.tasks.total == 4


@pytest.mark.parametrize(
    ("snakefile", "reason"),
    [
        (
            'rule a:\n    output: "a"\n    wrapper: "v99.0.0/bio/tool"\n',
            "the wrapper v99.0.0/bio/tool does not exist: check its version and name",
        ),
        (
            'module m:\n    snakefile: "https://other.example.org/Snakefile"\nuse rule * from m\n',
            r"https://other\.example\.org/Snakefile cannot be provided: this runner fetches from no host.*"
            "PENSTOCK_SOURCE_HOSTS",
        ),
        ('include: "https://example.org/none.smk"\n', "there is no file https://example.org/none.smk"),
        ('include: "https://example.org/a/../../x.smk"\n', "lead out of its folder"),
    ],
)
async def test_a_file_that_cannot_be_fetched_ends_the_run_with_the_reason(
    remote_engine: tuple[SnakemakeEngine, Path], site: Site, tmp_path: Path, snakefile: str, reason: str
) -> None:
    failure = await harness(remote_engine, tmp_path / "a", site.sources("j1")).fail(snakefile)
    assert failure.cause is FailureCause.WORKFLOW
    assert re.search(reason, failure.message, re.DOTALL), failure.message


async def test_an_outage_is_no_missing_pin_file(
    remote_engine: tuple[SnakemakeEngine, Path], site: Site, tmp_path: Path
) -> None:
    """Snakemake would go on without the file that pins the packages of an environment."""
    broken = f"{WRAPPERS}/v1.0.0/bio/tool/environment.linux-64.pin.txt"
    site.server.pages[broken] = "http://127.0.0.1:1/gone"
    failure = await harness(remote_engine, tmp_path / "a", site.sources("j1")).fail(SNAKEFILE)
    assert "environment.linux-64.pin.txt cannot be provided" in failure.message


async def test_a_plan_reads_meta_wrappers_and_modules_of_any_forge(
    remote_engine: tuple[SnakemakeEngine, Path], site: Site, tmp_path: Path
) -> None:
    """It fetches what it needs to read the workflow, and stores nothing."""
    pages = {
        f"{WRAPPERS}/v8.1.0/meta/bio/pair/meta_wrapper.smk": (
            'rule pair:\n    output: "pair.txt"\n    wrapper: "v1.0.0/bio/tool"\n'
        ),
        "/gitlab/lab/sub/flow/-/raw/v2/w/Snakefile": 'include: "../rules/b.smk"\n',
        "/gitlab/lab/sub/flow/-/raw/v2/rules/b.smk": 'rule b:\n    output: "b.txt"\n    shell: "touch {output}"\n',
    }
    site.server.pages |= {path: text.encode() for path, text in pages.items()}
    run = harness(remote_engine, tmp_path / "a", site.sources("", is_plan=True))
    outcome = await run.run(
        """
        module pair:
            meta_wrapper: "v8.1.0/meta/bio/pair"
        use rule * from pair
        module flow:
            snakefile: gitlab("lab/sub/flow", path="w/Snakefile", tag="v2")
        use rule * from flow
        rule all:
            input: "pair.txt", "b.txt"
            default_target: True
        """,
        is_dry=True,
    )
    assert outcome.failure is None
    assert outcome.refusal is None
    assert outcome.tasks.total == 3
    assert await site.blobs.list("") == ()


async def test_a_caption_that_cannot_be_fetched_does_not_fail_a_run_that_ended_well(
    remote_engine: tuple[SnakemakeEngine, Path], site: Site, tmp_path: Path
) -> None:
    site.server.pages[f"{FLOW}/report/made.rst"] = "http://127.0.0.1:1/gone"
    run = harness(remote_engine, tmp_path / "a", site.sources("j1"))
    outcome = await run.succeed(SNAKEFILE)
    assert not [file for file in outcome.produced.files if file.report]
    assert "report/made.rst cannot be fetched" in (run.logs / "engine.log").read_text()


async def test_a_wrapper_in_r_is_found_after_the_missing_one_in_python(
    remote_engine: tuple[SnakemakeEngine, Path], site: Site, tmp_path: Path
) -> None:
    place = f"{WRAPPERS}/v1.0.0/bio/other"
    site.server.pages |= {f"{place}/wrapper.jl": b"x", f"{place}/environment.yaml": b"dependencies: [tool]\n"}
    run = harness(remote_engine, tmp_path / "a", site.sources("j1"))
    outcome = await run.run('rule a:\n    output: "a"\n    wrapper: "v1.0.0/bio/other"\n', is_dry=True)
    assert outcome.tasks.total == 1
    names = [task.name.rpartition("/")[2] for task in fetches(run)]
    assert names.index("wrapper.py") < names.index("wrapper.jl")
