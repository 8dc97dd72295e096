"""`envmodules:` where the operator names the script that defines `module`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_engines.snakemake.attempt_process.software.environment_modules import loading_with
from penstock_engines.snakemake.engine import SnakemakeEngine

pytestmark = pytest.mark.system

DEBIAN = Path("/usr/share/modules/init/bash")
HAS_DEBIAN = DEBIAN.exists()
SCRIPT = """
module() {
    case "$1 $2" in
        "purge ") ;;
        "load tool/2") export TOOL_VERSION=2 ;;
        *) echo "no module $2" >&2; return 1 ;;
    esac
}
"""
MODULE = "#%Module1.0\nsetenv TOOL_VERSION 2\n"
SNAKEFILE = """
    rule all:
        input: "a.txt", "b.txt"
    rule shell:
        output: "a.txt"
        envmodules: "tool/2"
        conda: "env.yaml"
        shell: "echo $TOOL_VERSION > {output}"
    rule script:
        output: "b.txt"
        envmodules: "tool/2"
        script: "script.py"
    """


@pytest.fixture(scope="module", params=["script", "debian"])
async def modules_engine(
    anyio_backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SnakemakeEngine]:
    """An engine with a script of the test, and one with the package of Debian."""
    folder = tmp_path_factory.mktemp("modules")
    if request.param == "debian" and not HAS_DEBIAN:
        pytest.skip("the package environment-modules is not installed")
    init = DEBIAN if request.param == "debian" else folder / "init.sh"
    if init != DEBIAN:
        init.write_text(SCRIPT)
    (folder / "tool").mkdir()
    (folder / "tool" / "2").write_text(MODULE)
    environment = {"MODULEPATH": str(folder)}
    async with SnakemakeEngine(extra_environment=environment, modules_init=str(init)) as engine:
        yield engine


async def test_the_modules_of_a_rule_are_loaded_for_its_task(modules_engine: SnakemakeEngine, tmp_path: Path) -> None:
    run = EngineHarness(modules_engine, tmp_path)
    run.write({"env.yaml": "dependencies: [tool]\n"})
    run.write({"script.py": 'import os\nopen(snakemake.output[0], "w").write(os.environ["TOOL_VERSION"])\n'})
    await run.succeed(SNAKEFILE)
    assert (run.work / "a.txt").read_text() == "2\n"
    assert (run.work / "b.txt").read_text() == "2"


async def test_a_module_that_cannot_be_loaded_fails_its_task(modules_engine: SnakemakeEngine, tmp_path: Path) -> None:
    failure = await EngineHarness(modules_engine, tmp_path).fail(
        """
        rule a:
            output: "a.txt"
            envmodules: "tool/3 extra"
            shell: "touch {output}"
        """
    )
    assert failure.rule == "a"
    assert "these environment modules cannot be loaded: tool/3 extra" in str(failure.stderr_tail)
    assert not (tmp_path / "work" / "a.txt").exists()


def test_the_names_of_modules_are_no_commands() -> None:
    command = loading_with("/opt/it's/init")(["a; rm b", "c/1"], "run")
    assert command.startswith(". '/opt/it'\"'\"'s/init'; module purge && ")
    assert "module load 'a;' rm b c/1 || {" in command
    assert command.endswith("; run")
