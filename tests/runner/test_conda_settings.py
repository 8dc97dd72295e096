"""What a runner's settings of environments mean, and which of them cannot be used."""

from pathlib import Path

import pytest

from penstock_execution.conda.channels import Channel
from penstock_execution.conda.policy import CondaTool
from penstock_execution.sandbox.policy import SandboxPolicy
from penstock_runner.conda_settings import (
    CondaSettings,
    build_terms,
    conda_folder,
    conda_mistakes,
    conda_platform,
    conda_policy,
    conda_provider,
)
from penstock_runner.settings import RunnerSettings, mistakes
from penstock_runtime.settings import BadSettings, UnusableSetting, read_settings

CHANNELS = {"PENSTOCK_CONDA_CHANNELS": "conda-forge, bioconda=https://mirror.example.org/bioconda,file:///srv/lab"}


def test_channels_and_limits_are_read_from_the_environment() -> None:
    policy = conda_policy(read_settings(RunnerSettings, CHANNELS | {"PENSTOCK_CONDA_OFFLINE": "yes"}), {})
    assert policy.channels.allowed == (
        Channel("conda-forge", "https://conda.anaconda.org/conda-forge"),
        Channel("bioconda", "https://mirror.example.org/bioconda"),
        Channel("file:///srv/lab", "file:///srv/lab"),
    )
    assert policy.is_offline
    assert policy.tool is CondaTool.RATTLER


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PENSTOCK_CONDA_CHANNELS", "ftp://host/c"),
        ("PENSTOCK_CONDA_CHANNELS", "a b"),
        ("PENSTOCK_CONDA_ENVIRONMENTS", "tools=relative"),
        ("PENSTOCK_CONDA_PIP_INDEX", "https://ada:secret@host/simple"),
        ("PENSTOCK_CONDA_TOOL", "pixi"),
        ("PENSTOCK_CONDA_MAX_BYTES", "0"),
    ],
)
def test_a_wrong_value_is_named(variable: str, value: str) -> None:
    with pytest.raises(BadSettings, match=variable):
        read_settings(RunnerSettings, {variable: value})


def test_nothing_is_provided_where_no_channel_is_allowed(tmp_path: Path) -> None:
    assert conda_provider(CondaSettings(), "runner-1", tmp_path, {}, None) is None
    assert not (tmp_path / "conda").exists()


def test_environments_are_kept_in_the_runners_folder_or_in_another(tmp_path: Path) -> None:
    provider = conda_provider(CondaSettings(conda_channels=("lab",)), "runner-1", tmp_path, {}, None)
    assert provider is not None
    assert list(provider.folders) == [str(tmp_path / "conda/environments")]
    assert conda_folder(CondaSettings(conda_dir=tmp_path / "shared"), Path("state")) == tmp_path / "shared"


def test_workflows_may_not_write_where_environments_are(tmp_path: Path) -> None:
    settings = RunnerSettings(conda_dir=tmp_path / "data/conda", sandbox_write=(tmp_path / "data",))
    [mistake] = mistakes(settings)
    assert "could change environments of later runs" in mistake
    [mistake] = conda_mistakes(CondaSettings(conda_dir=Path("relative")), ())
    assert "expected an absolute path" in mistake


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    settings = CondaSettings(conda_tool=CondaTool.MAMBA, conda_channels=("lab",))
    with pytest.raises(UnusableSetting, match="'mamba', and no such program"):
        conda_policy(settings, {"PATH": str(tmp_path)})
    program = tmp_path / "mamba"
    program.write_text("")
    program.chmod(0o755)
    assert conda_policy(settings, {"PATH": str(tmp_path)}).program == str(program)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_runner.conda_settings.MODULES", ("no_such_module",))
    with pytest.raises(UnusableSetting, match=r"pip install 'penstock\[conda\]'"):
        conda_policy(CondaSettings(conda_channels=("lab",)), {})


def test_a_machine_without_packages_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(UnusableSetting, match="no conda packages for vax"):
        conda_platform()


def test_builds_read_none_of_the_data_that_attempts_read() -> None:
    sandbox = SandboxPolicy(read=("/usr", "/data"), hidden=("/etc/shadow",), sealed=True)
    terms = build_terms("runner-1", {"PATH": "/usr/bin"}, sandbox)
    assert terms.sandbox is not None
    assert "/data" not in terms.sandbox.read
    assert "/usr" in terms.sandbox.read
    assert terms.sandbox.hidden == ("/etc/shadow",)
    assert terms.sandbox.sealed
    assert build_terms("runner-1", {}, None).sandbox is None
