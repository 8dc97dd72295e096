"""The queue in the order of keys: it agrees with a sorted list."""

from hypothesis import given
from hypothesis import strategies as st

from penstock_scheduler.core.order import OrderedQueue

KEYS = st.tuples(st.integers(-2, 2), st.integers(0, 300))


def test_an_empty_queue_has_no_first_key() -> None:
    queue = OrderedQueue()
    assert (queue.first(), list(queue), len(queue)) == (None, [], 0)


def test_a_key_that_is_removed_from_the_middle_can_be_added_again() -> None:
    queue = OrderedQueue()
    for key in ((0, 1), (0, 2), (0, 3)):
        queue.add(key)
    queue.remove((0, 2))
    assert list(queue) == [(0, 1), (0, 3)]
    queue.add((0, 2))
    assert list(queue) == [(0, 1), (0, 2), (0, 3)]
    queue.remove((0, 1))
    assert queue.first() == (0, 2)


def test_many_removed_keys_do_not_stay_in_memory() -> None:
    queue = OrderedQueue()
    for number in range(1_000):
        queue.add((0, number))
    for number in range(1, 1_000):
        queue.remove((0, number))
    assert len(queue) == 1
    assert len(queue._heap) < 200  # pyright: ignore[reportPrivateUsage] - memory is what the test is about


@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=400))
def test_it_agrees_with_a_sorted_list(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    queue, expected = OrderedQueue(), set[tuple[int, int]]()
    for is_added, key in steps:
        if is_added and key not in expected:
            queue.add(key)
            expected.add(key)
        elif not is_added and key in expected:
            queue.remove(key)
            expected.remove(key)
        assert queue.first() == min(expected, default=None)
        assert len(queue) == len(expected)
    assert list(queue) == sorted(expected)
