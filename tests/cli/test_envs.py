"""The commands `envs`, on caches and a channel in folders."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.conda.channel import make_channel
from tests.conda.test_cache import NOW, entry_of

from penstock.commands.envs import envs
from penstock.operations.environments import cache_of, declared
from penstock.operations.environments import entry_of as found_entry
from penstock.terminal.exit_codes import Stop
from penstock_execution.conda.cache import EnvironmentCache
from penstock_execution.files.locks import tried

KEY = "0123456789abcdef0123456789abcdef"


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """Run a command in a thread: in this one the loop of asynchronous tests may be running."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(CliRunner().invoke, envs, [*arguments], env=env or {}).result()


def message_of(result: Result) -> str:
    assert isinstance(result.exception, Stop), result.output
    return result.exception.message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "conda"


@pytest.fixture
def cache(folder: Path) -> EnvironmentCache:
    cache = EnvironmentCache(folder)
    cache.prepare()
    return cache


def test_environments_are_listed_and_shown(cache: EnvironmentCache, folder: Path) -> None:
    entry = entry_of(cache, KEY)
    listed = run("ls", "--dir", str(folder)).output
    assert KEY[:12] in listed
    assert "envs/a.yaml" in listed
    [row] = json.loads(run("ls", "--dir", str(folder), "-o", "json").output)
    assert row["manifest"]["key"] == KEY
    assert row["is_used"] is False
    detail = run("show", KEY[:6], "--check", "--dir", str(folder))
    assert detail.exit_code == 0
    assert "every file was compared" in detail.output
    assert "greet" in detail.output
    (entry.prefix / "bin/greet").write_text("other")
    assert "bin/greet was changed" in run("show", KEY, "--check", "--dir", str(folder)).output
    assert run("show", KEY, "--dir", str(folder)).exit_code == 0


def test_an_environment_in_use_is_not_removed(cache: EnvironmentCache, folder: Path) -> None:
    entry = entry_of(cache, KEY)
    with tried(entry.lock, shared=True):
        refused = run("rm", KEY, "--dir", str(folder))
        assert "in use" in refused.output
        assert cache.find(KEY) is not None
    assert f"removed {KEY[:12]}" in run("rm", KEY[:4], "--dir", str(folder)).output
    assert cache.entries() == []


def test_old_environments_are_removed_by_their_age(cache: EnvironmentCache, folder: Path) -> None:
    entry_of(cache, KEY, used=NOW.replace(year=2020))
    assert "removed" in run("rm", "--unused-days", "30", "--dir", str(folder)).output
    assert cache.entries() == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["show", "ffff"], "there is no environment"),
        (["show", "f"], "write more of it"),
        (["rm"], "name environments"),
        (["rm", "--all", "ffff"], "name environments"),
        (["export", "-f", "x"], "name environments"),
        (["export", "--all", "-f", "x"], "no environment to export"),
    ],
)
def test_what_cannot_be_done_is_explained(folder: Path, arguments: list[str], reason: str) -> None:
    assert reason in message_of(run(*arguments, "--dir", str(folder)))


def test_a_folder_that_is_no_state_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="PENSTOCK_CONDA_DIR"):
        cache_of(None, tmp_path / "none", {})
    (tmp_path / "state/runner/conda").mkdir(parents=True)
    assert cache_of(None, tmp_path / "state", {}).root == tmp_path / "state/runner/conda"
    assert cache_of(None, None, {"PENSTOCK_CONDA_DIR": str(tmp_path / "other")}).root == tmp_path / "other"
    with pytest.raises(Stop, match="no environment"):
        found_entry(cache_of(tmp_path / "other", None, {}), "ffff")


def test_a_workflows_folder_declares_the_environments_of_its_files(tmp_path: Path) -> None:
    envs = tmp_path / "workflow/envs"
    envs.mkdir(parents=True)
    (envs / "a.yaml").write_text("channels: [lab]\ndependencies: [greet]\n")
    (envs / "a.post-deploy.sh").write_text("true\n")
    (envs / "a.linux-64.pin.txt").write_text("@EXPLICIT\n")
    (tmp_path / "config.yaml").write_text("samples: [a, b]\n")
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / ".snakemake/b.yaml").write_text("dependencies: [x]\n")
    [found] = declared([tmp_path])
    assert found.label == "workflow/envs/a.yaml"
    assert found.post_deploy == "true\n"
    assert found.pins == "@EXPLICIT\n"


@pytest.mark.system
def test_an_environment_is_warmed_exported_and_imported(tmp_path: Path) -> None:
    channel = make_channel(tmp_path / "channel")
    env = {"PENSTOCK_CONDA_CHANNELS": f"lab=file://{channel}"}
    workflow = tmp_path / "workflow"
    workflow.mkdir()
    (workflow / "a.yaml").write_text("channels: [lab]\ndependencies: [native]\n")
    (workflow / "b.yaml").write_text("channels: [lab]\ndependencies: [wants-missing]\n")
    here, there, bundle = tmp_path / "here", tmp_path / "there", tmp_path / "bundle"
    warmed = run("warm", str(workflow), "--dir", str(here), env=env)
    assert "a.yaml: built: " in warmed.output
    assert "b.yaml: the environment cannot be solved" in warmed.output
    assert "never-made" in warmed.output
    assert "was there already" in run("warm", str(workflow / "a.yaml"), "--dir", str(here), env=env).output
    exported = run("export", "--all", "-f", str(bundle), "--dir", str(here))
    assert "1 environment, 2 packages" in exported.output
    assert not list(tmp_path.glob(".bundle.new"))
    offline = {"PENSTOCK_CONDA_OFFLINE": "true"}
    assert "a.yaml: " in run("import", str(bundle), "--dir", str(there), env=offline).output
    [row] = json.loads(run("ls", "--dir", str(there), "-o", "json").output)
    assert {package["name"] for package in row["manifest"]["packages"]} == {"native", "greet"}
    assert Path(row["path"]).is_relative_to(there)


def test_warming_needs_a_channel(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("channels: [lab]\ndependencies: [a]\n")
    refused = run("warm", str(tmp_path / "a.yaml"), "--dir", str(tmp_path / "conda"))
    assert "PENSTOCK_CONDA_CHANNELS" in message_of(refused)
    (tmp_path / "empty").mkdir()
    assert "no environment file" in message_of(run("warm", str(tmp_path / "empty"), "--dir", str(tmp_path / "conda")))


@pytest.mark.slow
def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("x" * 2_000)
    assert "no bundle" in message_of(run("import", str(tmp_path / "bundle"), "--dir", str(tmp_path / "conda")))
