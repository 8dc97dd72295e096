"""Links are followed as the kernel follows them, and never out of the tree; names travel as any bytes."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_domain.engines.reserved_folders import NOTHING_RESERVED
from penstock_domain.source_tree import (
    MAX_LINKS_IN_A_PATH,
    LinkLoops,
    LinkMap,
    LinkRefused,
    fault_of_path,
    faults_of_tree,
    path_of,
    path_text,
    wire_path,
)

PARTS = st.sampled_from(["a", "b", "c", "..", ".", "d"])
PLACES = ("a", "b", "d/a", "d/b", "d/c/a", "c")


@settings(max_examples=150, deadline=None)
@given(targets=st.dictionaries(st.sampled_from(PLACES), st.lists(PARTS, min_size=1, max_size=5).map("/".join)))
def test_a_link_leads_where_the_kernel_leads_it(
    tmp_path_factory: pytest.TempPathFactory, targets: dict[str, str]
) -> None:
    outer = tmp_path_factory.mktemp("tree")
    top = outer / "top"
    (top / "d").mkdir(parents=True)
    if "d/c" not in targets and "c" not in targets:
        (top / "d" / "c").mkdir()
    links = {path: target for path, target in targets.items() if (top / path).parent.is_dir()}
    for path, target in links.items():
        (top / path).symlink_to(target)
    known = LinkMap(links)
    for path in links:
        real = Path(os.path.realpath(top / path))
        try:
            found = known.resolve(path)
        except LinkLoops:
            with pytest.raises(OSError, match=r"Too many levels|No such file"):
                os.stat(top / path)  # noqa: PTH116 - a `Path` has a separate error for this
        except LinkRefused:
            pass  # stricter than the kernel at most: a tree that is refused harms nobody
        else:
            assert real == top / found
            assert real.is_relative_to(top)


@given(st.binary(max_size=30))
def test_a_name_of_any_bytes_survives_the_wire(raw: bytes) -> None:
    path = os.fsdecode(raw)
    label, encoded = wire_path(path)
    label.encode()
    assert path_of(label, encoded) == path
    assert path_text(path).isprintable()
    if fault_of_path(path, NOTHING_RESERVED) is None:
        assert b"\0" not in raw
        assert not raw.startswith(b"/")


def test_a_chain_is_as_long_as_the_kernel_follows(tmp_path: Path) -> None:
    count = MAX_LINKS_IN_A_PATH + 2
    links = {f"l{number}": f"l{number + 1}" for number in range(count)}
    for path, target in links.items():
        (tmp_path / path).symlink_to(target)
    (tmp_path / f"l{count}").write_text("x")
    known = LinkMap(links)
    for path in links:
        try:
            (tmp_path / path).read_text()
            is_reached = True
        except OSError:
            is_reached = False
        try:
            assert known.resolve(path) == f"l{count}"
        except LinkLoops:
            assert not is_reached, path
        else:
            assert is_reached, path


def test_many_links_through_many_links_are_checked_in_time() -> None:
    deep = "/".join(["x/.."] * 31)
    links = {f"l{number}": f"{deep}/l{number + 1}" for number in range(5000)}
    begun = time.process_time()
    assert list(faults_of_tree(set(), {**links, "x": "y", "l5000": ".."}, set(), NOTHING_RESERVED))
    assert time.process_time() - begun < 20, "the same check without memory takes hours"
