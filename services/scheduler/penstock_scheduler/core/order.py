"""A queue in order of keys that can be read from the front without being changed."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final

Key = tuple[int, int]
"""(-priority, sequence of the submission): smaller goes first. No two jobs have the same."""

_FEW: Final = 64
"""So many removed keys may be in the heap before it is built again without them."""


class OrderedQueue:
    """Keys, smallest first. Adding and removing cost O(log n), reading the first k costs O(k log k).

    A key in the middle of a heap cannot be taken out cheaply, so it is only marked as gone until it comes to the front.
    """

    __slots__ = ("_gone", "_heap")

    def __init__(self) -> None:
        self._heap: list[Key] = []
        self._gone: set[Key] = set()

    def __len__(self) -> int:
        return len(self._heap) - len(self._gone)

    def add(self, key: Key) -> None:
        """Add `key`, which is not in it."""
        if key in self._gone:
            self._gone.remove(key)
        else:
            heappush(self._heap, key)

    def remove(self, key: Key) -> None:
        """Remove `key`, which is in it."""
        if self._heap[0] != key:
            self._gone.add(key)
            if len(self._gone) > _FEW and 2 * len(self._gone) > len(self._heap):
                self._heap = [kept for kept in self._heap if kept not in self._gone]
                heapify(self._heap)
                self._gone.clear()
            return
        heappop(self._heap)
        while self._heap and self._heap[0] in self._gone:
            self._gone.remove(heappop(self._heap))

    def first(self) -> Key | None:
        """Return the smallest key; `None` when there is none."""
        return self._heap[0] if self._heap else None

    def __iter__(self) -> Iterator[Key]:
        """Yield the keys in order; it must not be changed meanwhile."""
        # A heap is a tree whose nodes are not larger than their children: what comes next is the smallest child of
        # what was yielded so far.
        heap = self._heap
        frontier = [(heap[0], 0)] if heap else []
        while frontier:
            key, place = heappop(frontier)
            for child in (2 * place + 1, 2 * place + 2):
                if child < len(heap):
                    heappush(frontier, (heap[child], child))
            if key not in self._gone:
                yield key
