"""One canary for each part of Snakemake that is not public: what changed, and what of the engine depends on it."""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportPrivateUsage=false

import ast
import inspect
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest
from snakemake import api, dag, io, sourcecache, workflow, wrapper
from snakemake.deployment import conda, env_modules
from snakemake.executors import local

from penstock_engines.snakemake.attempt_process import patches

pytestmark = pytest.mark.system

PRIVATE: Final = frozenset(
    {
        *("_async_executor", "_async_runners", "_dag", "_local_inventory", "_lock", "_rundir"),
        *("_allitems", "_do_cache", "_workflow_api", "_workflow_store", "job_args_and_prepare", "run_wrapper"),
    }
)


def check(condition: bool, name: str, dependent: str) -> None:
    assert condition, f"Snakemake changed {name}: adapt `patches.{dependent}`"


def source(subject: Any) -> str:
    return inspect.getsource(subject)


def test_job_args_and_prepare() -> None:
    parameters = list(inspect.signature(local.Executor.job_args_and_prepare).parameters)
    check(parameters == ["self", "job"], "`local.Executor.job_args_and_prepare`", "job_body")


def test_run_wrapper() -> None:
    count = len(inspect.signature(local.run_wrapper).parameters)
    check(count == 27, "the parameters of `local.run_wrapper`", "job_body")


def test_common_settings() -> None:
    check(hasattr(local, "common_settings"), "`local.common_settings`", "local_settings")


def test_async_executor() -> None:
    text = source(workflow.Workflow)
    check("self._async_executor = ThreadPoolExecutor()" in text, "`Workflow._async_executor`", "pool_threads")


def test_async_runners() -> None:
    text = source(workflow.Workflow)
    check("self._async_runners = dict()" in text, "`Workflow._async_runners`", "replace_event_loops")


def test_rundir() -> None:
    check("_rundir" in source(workflow.Workflow), "`Workflow._rundir`", "set_run_folder")


def test_global_conda() -> None:
    parameters = list(inspect.signature(workflow.Workflow.global_conda).parameters)
    check(parameters == ["self", "conda_env"], "`Workflow.global_conda`", "remember_global_conda")


def test_dag() -> None:
    check("self._dag" in source(workflow.Workflow), "`Workflow._dag`", "dag_of")


def test_workflow_store() -> None:
    check("_workflow_store" in source(api.WorkflowApi), "`WorkflowApi._workflow_store`", "dag_of")


def test_workflow_api() -> None:
    check("self._workflow_api" in source(api.SnakemakeApi), "`SnakemakeApi._workflow_api`", "linemaps_of")


def test_linemaps() -> None:
    check("linemaps" in source(workflow.Workflow), "`Workflow.linemaps`", "linemaps_of")


def test_sp() -> None:
    text = source(import_module("snakemake.shell"))
    is_known = "import subprocess as sp" in text and text.count("sp.Popen(") == 1
    check(is_known, "how `snakemake.shell` starts commands", "replace_subprocess")


def test_shell_lock() -> None:
    text = source(import_module("snakemake.shell"))
    check("_lock = threading.Lock()" in text, "`shell._lock`", "renew_shell_lock")


def test_local_inventory() -> None:
    text = source(io._IOFile)
    is_known = (
        text.count("await self.exists_local()") > 0
        and "tasks.append(self._local_inventory(cache))" in text
        and "except PermissionError:\n                raise WorkflowError(" in text
    )
    check(is_known, "`_IOFile._local_inventory`", "tolerate_closed_folders")


def test_do_cache() -> None:
    text = source(sourcecache.SourceCache)
    is_known = (
        list(inspect.signature(sourcecache.SourceCache._do_cache).parameters) == ["self", "source_file", "cache_entry"]
        and text.count("._do_cache(") == 1
        and text.count("._open(") == 2
    )
    check(is_known, "how `SourceCache` fills itself", "fetch_sources_with")


def test_get_script() -> None:
    parameters = list(inspect.signature(wrapper.get_script).parameters)
    is_known = parameters == ["path", "sourcecache", "prefix"] and "return errors" in source(wrapper.find_extension)
    check(is_known, "`wrapper.get_script`", "require_wrapper_scripts")


@pytest.mark.parametrize(
    ("file", "address"),
    [
        (
            sourcecache.GithubFile(repo="a/b", path="w/Snakefile", tag="v1"),
            "https://raw.githubusercontent.com/a/b/v1/w/Snakefile",
        ),
        (
            sourcecache.GithubFile(repo="a/b", path="w", branch="x/y", host="git.test"),
            "https://git.test/a/b/raw/x%2Fy/w",
        ),
        (
            sourcecache.GitlabFile(repo="a/b/c", path="w/a b", branch="main"),
            "https://gitlab.com/a/b/c/-/raw/main/w/a%20b",
        ),
        (sourcecache.GenericSourceFile("https://e.test/f?x=1"), "https://e.test/f?x=1"),
    ],
)
def test_addresses_of_source_files(file: Any, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    assert patches.address_of(file) == address


def test_a_clone_is_never_made(tmp_path: Path) -> None:
    cache = sourcecache.SourceCache(tmp_path / "cache", runtime_cache_path=tmp_path / "runtime")
    copied: list[str] = []

    def copy(address: str, destination: Path) -> bool:
        copied.append(address)
        destination.parent.mkdir(parents=True)
        destination.write_text("there")
        return True

    original = sourcecache.SourceCache._do_cache
    patches.fetch_sources_with(copy)
    try:
        file = sourcecache.GithubFile(repo="a/b", path="w/Snakefile", tag="v1")
        assert Path(cache.get_path(file)).read_text() == "there"
        assert Path(cache.get_path(file)).read_text() == "there"
        (tmp_path / "own").write_text("own")
        own = sourcecache.LocalSourceFile(str(tmp_path / "own"))
        assert Path(cache.get_path(own)).read_text() == "own"
    finally:
        sourcecache.SourceCache._do_cache = original
    assert copied == ["https://raw.githubusercontent.com/a/b/v1/w/Snakefile"]


def test_env_modules() -> None:
    is_known = (
        list(inspect.signature(env_modules.EnvModules.shellcmd).parameters) == ["self", "cmd"]
        and env_modules.EnvModules("a", "b").names == ("a", "b")
        and "cmd = env_modules.shellcmd(cmd)" in source(import_module("snakemake.shell"))
    )
    check(is_known, "`EnvModules.shellcmd`", "load_modules_with")


def test_glob_wildcards() -> None:
    is_known = vars(workflow).get("glob_wildcards") is not None and list(
        inspect.signature(io.glob_wildcards).parameters
    ) == ["pattern", "files", "followlinks"]
    check(is_known, "`glob_wildcards` among the names that a Snakefile sees", "refuse_blind_searches")


def test_create_conda_envs() -> None:
    parameters = list(inspect.signature(dag.DAG.create_conda_envs).parameters)
    texts = source(workflow.Workflow) + source(dag.DAG)
    is_known = parameters == ["self", "dryrun", "quiet"] and texts.count(".create_conda_envs(") >= 3
    check(is_known, "when `DAG.create_conda_envs` is called", "replace_conda")


def test_conda_env() -> None:
    names = ("address", "content", "content_deploy", "content_hash", "content_pin", "hash", "is_externally_managed")
    is_known = all(isinstance(getattr(conda.Env, name), property) for name in names)
    check(is_known and "self.file" in source(conda.Env.__init__), "the properties of `conda.Env`", "replace_conda")


def test_conda_command() -> None:
    shell = source(import_module("snakemake.shell"))
    is_known = (
        "from snakemake.deployment.conda import Conda" in shell
        and ".shellcmd(conda_env, cmd)" in shell
        and "return Conda().prefix_path" in source(workflow.Workflow)
        and ".platform" in source(conda.Env)
        and vars(workflow)["Conda"] is conda.Conda
    )
    check(is_known, "what is called of `Conda`", "replace_conda")


def test_allitems() -> None:
    items = import_module("snakemake.iocontainers").InputFiles(fromdict={"name": "path"})
    is_known = list(patches.named_items(items)) == [("name", "path")]
    check(is_known, "`Namedlist._allitems`", "named_items")


def test_no_other_module_uses_a_private_name() -> None:
    folder = Path(patches.__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        if path.name == "patches.py":
            continue
        used = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
            and node.attr in PRIVATE
            and not (isinstance(node.value, ast.Name) and node.value.id == "self")
        }
        assert not used, f"{path.name} uses {sorted(used)}: move it to patches.py"
        assert "snakemake.executors" not in path.read_text() or path.name == "attempt.py", path.name
