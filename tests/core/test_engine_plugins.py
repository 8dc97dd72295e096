"""Engines are found by their entry points; whatever is wrong with one is reported with its name."""

import importlib.util
import subprocess
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from penstock_domain.engines.registry import InvalidEngines
from penstock_runtime.engine_plugins import GROUP, installed_engines, load_engines

SNAKEMAKE = EntryPoint("snakemake", "penstock_engines.snakemake.descriptor:DESCRIPTOR", GROUP)


def test_the_installed_engines_are_found() -> None:
    assert {"mock", "snakemake"} <= set(installed_engines().names)
    assert installed_engines().default == "snakemake"
    assert installed_engines().default_without_source == "mock"


def test_a_distribution_that_is_found_twice_counts_once() -> None:
    assert load_engines([SNAKEMAKE, SNAKEMAKE]).names == ("snakemake",)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "no engine is installed"),
        (
            [EntryPoint("x", "absent_package:D", GROUP)],
            "'x' (absent_package:D) cannot be imported: ModuleNotFoundError",
        ),
        ([EntryPoint("x", "os:sep", GROUP)], "'x' (os:sep) is a str, not an EngineDescriptor"),
        ([EntryPoint("x", SNAKEMAKE.value, GROUP)], "describes an engine with another name, 'snakemake'"),
        (
            [SNAKEMAKE, EntryPoint("snakemake", "tests.core.second_snakemake:DESCRIPTOR", GROUP)],
            "'snakemake': two plug-ins have this name",
        ),
    ],
)
def test_an_invalid_plugin_is_refused(points: list[EntryPoint], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    second = SimpleNamespace(DESCRIPTOR=SNAKEMAKE.load())
    monkeypatch.setitem(sys.modules, "tests.core.second_snakemake", second)
    with pytest.raises(InvalidEngines) as caught:
        load_engines(points)
    assert message in str(caught.value)


@pytest.mark.system
def test_descriptors_import_no_engine() -> None:
    code = (
        "import sys; from penstock_runtime.engine_plugins import installed_engines; installed_engines();"
        "sys.exit(any(name.partition('.')[0] in ('snakemake', 'penstock_execution') for name in sys.modules))"
    )
    assert importlib.util.find_spec("snakemake") is not None
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
