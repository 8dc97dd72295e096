"""The parts of an exception group, and full disks among them."""

import errno
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_runtime.exception_groups import is_disk_full, leaves

Tree: TypeAlias = "int | list[Tree]"
TREES: st.SearchStrategy[Any] = st.recursive(
    st.integers(0, 99), lambda children: st.lists(children, min_size=1, max_size=4), max_leaves=10
)


def group_of(tree: Tree) -> Exception:
    if isinstance(tree, list):
        return ExceptionGroup("g", [group_of(part) for part in tree])
    return ValueError(tree)


def numbers_of(tree: Tree) -> list[int]:
    return [number for part in tree for number in numbers_of(part)] if isinstance(tree, list) else [tree]


@given(TREES)
def test_the_leaves_are_the_single_exceptions_in_order(tree: Any) -> None:
    assert [error.args[0] for error in leaves(group_of(tree))] == numbers_of(tree)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EDQUOT, "quota"), True),
        (OSError(errno.EACCES, "denied"), False),
        (ValueError(errno.ENOSPC), False),
    ],
)
def test_a_full_disk_or_quota_is_recognized(error: BaseException, expected: bool) -> None:
    assert is_disk_full(error) is expected
