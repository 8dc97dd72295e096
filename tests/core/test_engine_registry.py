"""Descriptors of engines: which are refused, and which engine runs a submission that names none."""

import pytest
from msgspec.structs import replace

from penstock_domain.engines.descriptor import EngineDescriptor, SoftwareDeclarations
from penstock_domain.engines.languages import Language
from penstock_domain.engines.parameters import EngineParameter, Kind
from penstock_domain.engines.registry import EngineRegistry, InvalidEngines
from penstock_domain.engines.reserved_folders import ReservedFolder

ENGINE = EngineDescriptor(
    name="shell",
    title="Shell",
    launcher="shell_engine.launcher:launch",
    languages=(Language(name="SH", other_names=("SHELL",)),),
    entrypoints=("run.sh", "scripts/run.sh"),
    suffixes=(".sh",),
)
OTHER = replace(ENGINE, name="other", languages=(Language(name="OTHER"),))
FLAG = EngineParameter(name="trace", kind=Kind.FLAG, description="Print commands.", short="x")


def test_engines_are_found_by_name_and_by_language() -> None:
    registry = EngineRegistry((ENGINE, OTHER))
    assert registry.names == ("other", "shell")
    assert registry.find("shell") is ENGINE
    assert registry.find("absent") is None
    assert registry.language_named(" shell ") == (ENGINE, ENGINE.languages[0])
    assert registry.language_named("SMK") is None
    assert registry.language_of("shell") == ENGINE.languages[0]
    assert registry.language_of("absent") is None


@pytest.mark.parametrize(
    ("engines", "message"),
    [
        ((ENGINE, replace(OTHER, name="shell")), "'shell': two plug-ins have this name"),
        (
            (ENGINE, replace(OTHER, languages=(Language(name="SHELL"),))),
            "language 'SHELL' belongs to the engine 'shell'",
        ),
        (
            (replace(ENGINE, default_rank=5), replace(OTHER, default_rank=5)),
            "it has the same default rank as the engine 'shell'",
        ),
        ((replace(ENGINE, name="Shell"),), "lower-case letters"),
        ((replace(ENGINE, name=""),), "lower-case letters"),
        ((replace(ENGINE, launcher="shell_engine"),), "does not have the form `module:function`"),
        ((replace(ENGINE, entrypoints=()),), "names no location of the main file"),
        ((replace(ENGINE, entrypoints=("../run.sh",)),), "'../run.sh' is not a path within a source"),
        ((replace(ENGINE, schema_locations=("/schema.json",)),), "'/schema.json' is not a path within a source"),
        ((replace(ENGINE, reserved_folders=(ReservedFolder(name=""),)),), "'' is not the name of a folder"),
        ((replace(ENGINE, reserved_folders=(ReservedFolder(name="a/b"),)),), "'a/b' is not the name of a folder"),
        (
            (replace(ENGINE, reserved_folders=(ReservedFolder(name="a", records=("..",)),)),),
            "'..' is not the name of a folder",
        ),
        ((replace(ENGINE, suffixes=("",)),), "the suffix '' does not begin with a dot"),
        ((replace(ENGINE, suffixes=("sh",)),), "the suffix 'sh' does not begin with a dot"),
        ((replace(ENGINE, languages=(Language(name=""),)),), "the language '' is not named in capitals"),
        ((replace(ENGINE, languages=(Language(name="Sh"),)),), "the language 'Sh' is not named in capitals"),
        ((replace(ENGINE, parameters=(FLAG, FLAG)),), "the parameter `trace` is listed twice"),
        ((replace(ENGINE, parameters=(replace(FLAG, name="no-requeue"),)),), "`no-requeue` is listed twice"),
        ((replace(ENGINE, statement="("),), "regular expression '(' is invalid"),
        (
            (replace(ENGINE, software=SoftwareDeclarations(in_rule="[", in_workflow="")),),
            "regular expression '[' is invalid",
        ),
    ],
)
def test_invalid_and_conflicting_engines_are_refused(engines: tuple[EngineDescriptor, ...], message: str) -> None:
    with pytest.raises(InvalidEngines) as caught:
        EngineRegistry(engines)
    assert message in str(caught.value)


def test_every_fault_is_reported_at_once() -> None:
    with pytest.raises(InvalidEngines) as caught:
        EngineRegistry((replace(ENGINE, launcher=""), replace(OTHER, name="X")))
    assert "launcher" in str(caught.value)
    assert "'X'" in str(caught.value)


def test_the_highest_rank_is_the_default() -> None:
    mock = replace(OTHER, name="mock", languages=(), needs_source=False, entrypoints=(), default_rank=1)
    registry = EngineRegistry((replace(ENGINE, default_rank=1), replace(OTHER, default_rank=2), mock))
    assert registry.default == "other"
    assert registry.default_without_source == "mock"
    assert EngineRegistry((ENGINE,)).default == ""
    assert EngineRegistry((ENGINE,)).default_without_source == ""


def test_workflow_files_are_known_by_their_names() -> None:
    assert ENGINE.is_workflow_file("a/run.sh")
    assert ENGINE.is_workflow_file("tool.sh")
    assert not ENGINE.is_workflow_file("run.py")
    assert not replace(ENGINE, suffixes=()).is_workflow_file("tool.sh")
    assert ENGINE.default_entrypoint == "run.sh"
    assert replace(ENGINE, entrypoints=()).default_entrypoint == ""


def test_an_unknown_engine_takes_only_what_every_engine_takes() -> None:
    table = EngineRegistry((ENGINE,)).table("absent")
    assert table.check({"no-requeue": None}) == ()
    assert "the engine `absent` does not take this parameter" in table.check({"cores": "1"})[0].detail
