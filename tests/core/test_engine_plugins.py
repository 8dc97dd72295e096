"""Engines are found by their entry points; a plug-in that cannot be used is left out, and reported with its name."""

import importlib.util
import subprocess
import sys
from importlib.metadata import DistributionFinder, EntryPoint, MetadataPathFinder
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from msgspec.structs import replace

from penstock_domain.engines.languages import Language
from penstock_domain.engines.registry import InvalidEngines
from penstock_engines.mock.descriptor import DESCRIPTOR as MOCK
from penstock_engines.snakemake.descriptor import DESCRIPTOR
from penstock_runtime.engine_plugins import GROUP, installed_engines, load_engines, unusable_engines

SNAKEMAKE = EntryPoint("snakemake", "penstock_engines.snakemake.descriptor:DESCRIPTOR", GROUP)
OTHERS = "tests.core.engines_of_others"


def test_the_installed_engines_are_found() -> None:
    assert {"mock", "snakemake"} <= set(installed_engines().names)
    assert installed_engines().default == "snakemake"
    assert installed_engines().default_without_source == "mock"
    assert unusable_engines() == ()


def test_a_distribution_that_is_found_twice_counts_once() -> None:
    loaded = load_engines([SNAKEMAKE, SNAKEMAKE])
    assert loaded.registry.names == ("snakemake",)
    assert loaded.unusable == ()


def test_no_plugin_at_all_is_refused() -> None:
    with pytest.raises(InvalidEngines, match="no engine is installed"):
        load_engines([])


def test_when_no_plugin_can_be_used_each_is_named_in_the_refusal() -> None:
    with pytest.raises(InvalidEngines, match=r"'x' \(absent_package:D\) is not used: .*'y' \(os:sep\) is not used"):
        load_engines([EntryPoint("x", "absent_package:D", GROUP), EntryPoint("y", "os:sep", GROUP)])


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (EntryPoint("x", "absent_package:D", GROUP), "it cannot be imported: ModuleNotFoundError"),
        (EntryPoint("x", f"{OTHERS}:absent", GROUP), "it cannot be imported: AttributeError"),
        (EntryPoint("x", "os:sep", GROUP), "it is a str, not an EngineDescriptor"),
        (EntryPoint("x", SNAKEMAKE.value, GROUP), "it describes an engine with another name, 'snakemake'"),
        (EntryPoint("snakemake", f"{OTHERS}:same_name", GROUP), "'snakemake': two plug-ins have this name"),
        (EntryPoint("x", f"{OTHERS}:same_language", GROUP), "the language 'SMK' belongs to the engine 'snakemake'"),
        (EntryPoint("x", f"{OTHERS}:same_rank", GROUP), "it has the same default rank as the engine 'snakemake'"),
        (EntryPoint("x", f"{OTHERS}:wrong_names", GROUP), "its descriptor is invalid: TypeError"),
        (EntryPoint("x", f"{OTHERS}:wrong_types", GROUP), "`entrypoints` has the wrong type, str"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_left_out(
    point: EntryPoint, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = replace(DESCRIPTOR, name="x", languages=(), default_rank=0)
    others = {
        "same_name": replace(DESCRIPTOR, languages=(), default_rank=0, title="Another"),
        "same_language": replace(engine, languages=DESCRIPTOR.languages),
        "same_rank": replace(engine, default_rank=DESCRIPTOR.default_rank),
        "wrong_names": replace(engine, languages=(Language(name="X", other_names=cast("tuple[str, ...]", None)),)),
        "wrong_types": replace(engine, entrypoints=cast("tuple[str, ...]", "Snakefile")),
    }
    monkeypatch.setitem(sys.modules, OTHERS, SimpleNamespace(**others))
    loaded = load_engines([SNAKEMAKE, point])
    assert [*loaded.registry] == [DESCRIPTOR]
    (unusable,) = loaded.unusable
    assert unusable.plugin == f"the engine plug-in {point.name!r} ({point.value})"
    assert reason in unusable.reason


@pytest.mark.parametrize("statement", ["raise ValueError('no licence')", "import sys; sys.exit('no licence')", "1 +"])
def test_a_module_that_fails_while_it_is_imported_stops_nothing(
    statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_engine.py").write_text(statement)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    loaded = load_engines([SNAKEMAKE, EntryPoint("failing", "failing_engine:DESCRIPTOR", GROUP)])
    assert loaded.registry.names == ("snakemake",)
    assert "it cannot be imported" in loaded.unusable[0].reason


def test_another_distribution_cannot_replace_an_engine_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "impostor.py").write_text(
        "from msgspec.structs import replace\nfrom penstock_engines.mock.descriptor import DESCRIPTOR as MOCK\n"
        "DESCRIPTOR = replace(MOCK, title='An impostor')\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    points = [
        *_entry_points(tmp_path, "a-distribution", "mock = impostor:DESCRIPTOR"),
        *_entry_points(tmp_path, "penstock", "mock = penstock_engines.mock.descriptor:DESCRIPTOR"),
    ]
    loaded = load_engines(points)
    assert [*loaded.registry] == [MOCK]
    assert loaded.unusable[0].plugin.endswith("(impostor:DESCRIPTOR) of the distribution 'a-distribution'")


@pytest.mark.system
def test_descriptors_import_no_engine() -> None:
    code = (
        "import sys; from penstock_runtime.engine_plugins import installed_engines; installed_engines();"
        "sys.exit(any(name.partition('.')[0] in ('snakemake', 'penstock_execution') for name in sys.modules))"
    )
    assert importlib.util.find_spec("snakemake") is not None
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _entry_points(folder: Path, distribution: str, line: str) -> list[EntryPoint]:
    """Install a distribution with an entry point into a folder, and return its entry points."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{line}\n")
    context = DistributionFinder.Context(name=distribution, path=[str(folder)])
    return [point for found in MetadataPathFinder.find_distributions(context) for point in found.entry_points]
