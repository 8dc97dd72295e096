"""Whether a script defines `module`, with a script of the test, and with the package of Debian where it is there."""

from pathlib import Path
from textwrap import dedent

import pytest

from penstock_runner.environment_modules import check_modules
from penstock_runtime.settings import UnusableSetting

pytestmark = pytest.mark.system

DEBIAN = Path("/usr/share/modules/init/bash")


def script(folder: Path, text: str) -> Path:
    path = folder / "init.sh"
    path.write_text(dedent(text))
    return path


async def test_a_script_that_defines_module(tmp_path: Path) -> None:
    await check_modules(script(tmp_path, "module() { return 0; }"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("true", "does not know `module`"),
        ("echo broken >&2; module() { return 1; }", "broken"),
        ("module() { false; }", "defines no usable"),
    ],
)
async def test_a_script_that_defines_none(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UnusableSetting, match=why):
        await check_modules(script(tmp_path, text))


async def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnusableSetting, match="No such file"):
        await check_modules(tmp_path / "none")


@pytest.mark.skipif(not DEBIAN.exists(), reason="the package environment-modules is not installed")
async def test_the_package_of_debian() -> None:
    await check_modules(DEBIAN)
