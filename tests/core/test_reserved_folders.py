"""Which paths of a source the folders of an engine refuse, and whose folders count."""

import pytest
from msgspec.structs import replace

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.registry import EngineRegistry
from penstock_domain.engines.reserved_folders import NOTHING_RESERVED, ReservedFolder, ReservedFolders
from penstock_domain.source_tree import fault_of_link, fault_of_path, faults_of_tree

STATE = ReservedFolder(name=".state", records=("done", "begun"))
CACHE = ReservedFolder(name=".cache")
ONE = EngineDescriptor(
    name="one", title="One", launcher="one:launch", needs_source=False, default_rank=1, reserved_folders=(STATE,)
)
TWO = replace(ONE, name="two", default_rank=0, reserved_folders=(CACHE,))
NONE = replace(ONE, name="none", default_rank=0, reserved_folders=())
BOTH = ReservedFolders((STATE, CACHE))


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        (".state", "the folder `.state` belongs to the engine; of it, done and begun are taken"),
        (".state/locks/x", "the folder `.state` belongs to the engine; of it, done and begun are taken"),
        (".state/done", "the folder `.state` belongs to the engine; of it, done and begun are taken"),
        (".cache", "the folder `.cache` belongs to the engine"),
        (".cache/x", "the folder `.cache` belongs to the engine"),
        (".state/done/x", None),
        (".state/begun/x/y", None),
        (".states/locks/x", None),
        ("a/.state/locks/x", None),
        ("a/.cache", None),
    ],
)
def test_only_records_are_taken_of_a_reserved_folder(path: str, fault: str | None) -> None:
    assert fault_of_path(path, BOTH) == fault
    assert fault_of_path(path, NOTHING_RESERVED) is None


@pytest.mark.parametrize(
    ("path", "is_taken"),
    [(".state/done/x", False), (".cache/x", False), ("a/.state/x", True), (".states", True)],
)
def test_a_reserved_folder_takes_no_links(path: str, *, is_taken: bool) -> None:
    assert (fault_of_link(path, "y", BOTH) is None) is is_taken
    assert (not list(faults_of_tree((), {path: "y"}, (), BOTH))) is is_taken
    assert fault_of_link(path, "y", NOTHING_RESERVED) is None


@pytest.mark.parametrize(
    ("engine", "refused"),
    [
        ("one", {".state/x"}),
        ("two", {".cache/x"}),
        ("none", set[str]()),
        (None, {".state/x", ".cache/x"}),
        ("absent", {".state/x", ".cache/x"}),
    ],
)
def test_the_folders_of_the_engine_count_or_all_where_it_is_not_known(engine: str | None, refused: set[str]) -> None:
    reserved = EngineRegistry((ONE, TWO, NONE)).reserved_folders(engine)
    paths = (".state/x", ".cache/x", ".state/done/x", "x")
    assert {path for path in paths if fault_of_path(path, reserved) is not None} == refused
