"""The pieces of a build, each by itself."""

import hashlib
import json
import os
import stat
from pathlib import Path

import msgspec
import pytest
from tests.conda.channel_server import channel_server

from penstock_execution.conda import build_messages
from penstock_execution.conda.build_messages import (
    BuildFailed,
    BuildPhase,
    Install,
    Installed,
    Logged,
    PhaseBegan,
    Progressed,
    Record,
    Recorded,
    RunScripts,
)
from penstock_execution.conda.builder import external_tool, installing
from penstock_execution.conda.builder.downloads import Checksums, checksums
from penstock_execution.conda.builder.errors import described
from penstock_execution.conda.builder.installed import installed_packages
from penstock_execution.conda.builder.recording import record
from penstock_execution.conda.builder.reports import BuildReports
from penstock_execution.conda.builder.scripts import detach, run_scripts
from penstock_execution.conda.channels import Channel
from penstock_execution.conda.pins import PinnedPackage
from penstock_execution.conda.policy import CondaTool, Pinned, Recipe, Required

LAB = Channel("lab", "file:///srv/lab")
FAKE = """#!/bin/sh
if [ "$1" = --version ]; then echo "{name} 2.1.0"; exit 0; fi
echo "$@" > {folder}/arguments
cat "$CONDARC" > {folder}/condarc
for item in "$@"; do case "$item" in *.yaml|*.txt) cat "$item" > {folder}/request;; esac; done
{then}
"""


class Messages:
    """Keeps what a process of a build reports."""

    def __init__(self) -> None:
        self.all: list[build_messages.BuildMessage] = []
        self.reports = BuildReports(lambda raw: self.all.append(build_messages.decode_message(raw)))

    @property
    def log(self) -> str:
        return "".join(message.text for message in self.all if isinstance(message, Logged))


def with_package(prefix: Path, name: str, *, depends: tuple[str, ...] = (), files: tuple[str, ...] = ()) -> None:
    meta = prefix / "conda-meta"
    meta.mkdir(parents=True, exist_ok=True)
    content = {
        "name": name,
        "version": "1.0",
        "build": "h1_2",
        "build_number": 2,
        "depends": depends,
        "files": files,
        "url": f"https://ada:secret@host/lab/linux-64/{name}-1.0-h1_2.conda",
        "sha256": "ab" * 32,
    }
    (meta / f"{name}-1.0-h1_2.json").write_text(json.dumps(content))


def test_packages_come_after_those_that_they_need(tmp_path: Path) -> None:
    with_package(tmp_path, "a", depends=("c >=1", "b"))
    with_package(tmp_path, "b", depends=("a", "c"))
    with_package(tmp_path, "c", files=("bin/.c-post-link.sh",))
    found = installed_packages(tmp_path)
    names = [package.name for package in found]
    assert names.index("c") < names.index("a")
    assert sorted(names) == ["a", "b", "c"]
    assert found[0].script is not None
    assert found[0].script.build_number == 2
    assert found[0].as_provided.url == "https://host/lab/linux-64/c-1.0-h1_2.conda", "the password is left out"


@pytest.mark.parametrize(
    ("text", "message", "may_retry"),
    [
        ("failed to link x\nCaused by: No space left on device (os error 28)", "the disk", True),
        (
            "failed to fetch a-1-0.conda\nCaused by: hash mismatch when extracting",
            "a-1-0.conda is not the archive",
            False,
        ),
        ("Cannot solve the request because of: a * cannot be installed", "cannot be solved", False),
        ("Cannot solve the request because of: No candidates were found for nope *.", "matches 'nope'", False),
        ("could not find subdir 'noarch' in channel", "does not exist", False),
        ("error sending request for url\nCaused by: dns error", "cannot be reached", True),
        ("failed to fetch a-1-0.conda\nCaused by: bz2 header missing", "a-1-0.conda is broken", False),
        ("LibMambaUnsatisfiableError: nothing provides b", "cannot be solved", False),
        ("something new", "what: something new", False),
        ("", "what: no reason was given", False),
    ],
)
def test_a_tools_text_becomes_a_sentence(text: str, message: str, may_retry: bool) -> None:
    failure = described("what", text).failure
    assert message in failure.message
    assert failure.may_retry is may_retry
    assert failure.detail == text


def test_a_file_that_is_shared_with_the_package_cache_is_detached(tmp_path: Path) -> None:
    package, prefix = tmp_path / "package", tmp_path / "prefix"
    package.mkdir()
    prefix.mkdir()
    (package / "tool").write_text("tool")
    (package / "tool").chmod(0o755)
    (prefix / "tool").hardlink_to(package / "tool")
    (prefix / "own").write_text("own")
    (prefix / "link").symlink_to("tool")
    assert detach(prefix) == 1
    (prefix / "tool").write_text("changed")
    assert (package / "tool").read_text() == "tool"
    assert stat.S_IMODE((prefix / "tool").stat().st_mode) == 0o755
    assert (prefix / "link").is_symlink()


@pytest.mark.slow
def test_scripts_run_in_the_activated_environment(tmp_path: Path) -> None:
    prefix, scratch = tmp_path / "it's a prefix", tmp_path / "scratch"
    (prefix / "etc/conda/activate.d").mkdir(parents=True)
    (prefix / "etc/conda/activate.d/a.sh").write_text("export FROM=activation\n")
    scratch.mkdir()
    messages = Messages()
    text = 'echo "$CONDA_PREFIX|$FROM|$HOME" > "$CONDA_PREFIX/result"\n'
    run_scripts(RunScripts(prefix=str(prefix), scratch=str(scratch), post_deploy=text), messages.reports)
    assert (prefix / "result").read_text() == f"{prefix}|activation|{scratch}\n"
    assert messages.all[0] == PhaseBegan(BuildPhase.SCRIPTS)
    with pytest.raises(BuildFailed, match="post-deploy script ended with exit code 3"):
        run_scripts(RunScripts(prefix=str(prefix), scratch=str(scratch), post_deploy="exit 3"), messages.reports)
    with pytest.raises(BuildFailed, match="needs python and pip"):
        run_scripts(RunScripts(prefix=str(prefix), scratch=str(scratch), pip=("a",)), messages.reports)


@pytest.mark.slow
def test_pip_installs_from_the_index_of_the_operator_alone(tmp_path: Path) -> None:
    prefix, scratch = tmp_path / "prefix", tmp_path / "scratch"
    (prefix / "bin").mkdir(parents=True)
    scratch.mkdir()
    python = prefix / "bin/python"
    python.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat {scratch}/requirements.txt >> {tmp_path}/arguments\n'
    )
    python.chmod(0o755)
    order = RunScripts(prefix=str(prefix), scratch=str(scratch), pip=("a", "b>=2"), pip_index="https://index/simple")
    run_scripts(order, Messages().reports)
    assert (tmp_path / "arguments").read_text().splitlines() == [
        "-m pip install --no-input --disable-pip-version-check --no-cache-dir --isolated --index-url "
        f"https://index/simple --requirement {scratch}/requirements.txt",
        "a",
        "b>=2",
    ]


def test_what_is_recorded_is_verified_first(tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    with_package(prefix, "a", files=("bin/a",))
    order = Record(prefix=str(prefix), index=str(tmp_path / "index"))
    with pytest.raises(BuildFailed, match="bin/a of the package a is missing"):
        record(order, Messages().reports)
    (prefix / "bin").mkdir()
    (prefix / "bin/a").write_text("hello")
    messages = Messages()
    record(order, messages.reports)
    recorded = messages.all[-1]
    assert isinstance(recorded, Recorded)
    assert recorded.files == 2
    assert recorded.index_sha256 == hashlib.sha256((tmp_path / "index").read_bytes()).hexdigest()


@pytest.mark.slow
def test_checksums_of_an_archive_are_read_from_a_folder_or_a_server(tmp_path: Path) -> None:
    (tmp_path / "a-1-0.conda").write_bytes(b"content")
    expected = Checksums(hashlib.md5(b"content").hexdigest(), hashlib.sha256(b"content").hexdigest())
    assert checksums(f"file://{tmp_path}/a-1-0.conda") == expected
    with channel_server(tmp_path) as server:
        assert checksums(f"{server.url}/a-1-0.conda") == expected
        with pytest.raises(BuildFailed, match="answered 404"):
            checksums(f"{server.url}/b-1-0.conda")
    with pytest.raises(BuildFailed, match="does not exist"):
        checksums(f"file://{tmp_path}/b-1-0.conda")


def test_progress_is_reported_at_intervals_and_at_the_end() -> None:
    messages = Messages()
    for number in range(1_000):
        messages.reports.progress(str(number), is_last=number == 999)
    texts = [message.text for message in messages.all if isinstance(message, Progressed)]
    assert texts[0] == "0"
    assert texts[-1] == "999"
    assert len(texts) < 100


def order_for(tmp_path: Path, tool: CondaTool, recipe: Recipe, *, then: str = "", is_offline: bool = False) -> Install:
    """Return an order for a small program in place of the tool, which records how it is called."""
    for name in ("prefix", "scratch", "packages"):
        (tmp_path / name).mkdir(exist_ok=True)
    program = tmp_path / tool.value
    program.write_text(FAKE.format(name=tool.value, folder=tmp_path, then=then))
    program.chmod(0o755)
    return Install(
        recipe=recipe,
        tool=tool,
        program=str(program),
        prefix=str(tmp_path / "prefix"),
        packages=str(tmp_path / "packages"),
        repodata=str(tmp_path / "repodata"),
        scratch=str(tmp_path / "scratch"),
        is_offline=is_offline,
    )


SOLVED = Recipe(
    platform="linux-64", channels=(LAB,), required=(Required("a >=1"), Required("b", LAB)), variables={"A": "x y"}
)
PINNED = Recipe(
    platform="linux-64",
    pins=(Pinned(PinnedPackage(channel="x", subdir="noarch", file="a-1-0.conda", md5="c" * 32), LAB),),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "recipe", "arguments"),
    [
        (
            CondaTool.MICROMAMBA,
            SOLVED,
            "create --yes --no-rc --no-env --root-prefix {0}/scratch --prefix {0}/prefix --override-channels "
            "--channel-priority strict --file {0}/scratch/environment.yaml",
        ),
        (
            CondaTool.MICROMAMBA,
            PINNED,
            "create --yes --no-rc --no-env --root-prefix {0}/scratch --prefix {0}/prefix "
            "--file {0}/scratch/environment.txt",
        ),
        (CondaTool.CONDA, SOLVED, "env create --quiet --yes --prefix {0}/prefix --file {0}/scratch/environment.yaml"),
        (CondaTool.MAMBA, PINNED, "create --yes --quiet --prefix {0}/prefix --file {0}/scratch/environment.txt"),
    ],
)
def test_other_programs_are_called_with_settings_of_ours_alone(
    tmp_path: Path, tool: CondaTool, recipe: Recipe, arguments: str
) -> None:
    order, messages = order_for(tmp_path, tool, recipe), Messages()
    installing.install(order, messages.reports)
    assert (tmp_path / "arguments").read_text() == arguments.format(tmp_path) + "\n"
    settings = json.loads((tmp_path / "condarc").read_text())
    assert settings["channel_priority"] == "strict"
    assert settings["default_channels"] == []
    assert settings["pkgs_dirs"] == [str(tmp_path / "packages")]
    request = (tmp_path / "request").read_text()
    if recipe is PINNED:
        assert request.splitlines() == ["@EXPLICIT", f"file:///srv/lab/noarch/a-1-0.conda#{'c' * 32}"]
    else:
        assert json.loads(request) == {
            "channels": ["file:///srv/lab", "nodefaults"],
            "dependencies": ["a >=1", "file:///srv/lab::b"],
        }
        variables = tmp_path / "prefix/etc/conda/activate.d/penstock-variables.sh"
        assert variables.read_text() == "export A='x y'\n"
    done = messages.all[-1]
    assert isinstance(done, Installed)
    assert done.tool_version == f"{tool.value} 2.1.0"


@pytest.mark.slow
def test_a_program_that_fails_is_explained_by_what_it_wrote(tmp_path: Path) -> None:
    order = order_for(tmp_path, CondaTool.CONDA, SOLVED, then="echo UnsatisfiableError: a; exit 1")
    with pytest.raises(BuildFailed, match="cannot be solved"):
        external_tool.install(order, Messages().reports)
    with pytest.raises(BuildFailed, match="the program conda was not found"):
        external_tool.install(msgspec.structs.replace(order, program=None), Messages().reports)
    with pytest.raises(BuildFailed, match="cannot be executed"):
        external_tool.install(msgspec.structs.replace(order, program=os.devnull), Messages().reports)
    offline = order_for(tmp_path, CondaTool.MICROMAMBA, SOLVED, is_offline=True)
    assert "--offline" in external_tool.command_line(offline, tmp_path / "a.yaml")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 1}', '{"name": "a"}', '{"name": "a", "depends": 1}'])
def test_a_record_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta/a-1-0.json").write_text(content)
    with pytest.raises(BuildFailed, match=r"a-1-0\.json is no record of a package"):
        installed_packages(tmp_path)
