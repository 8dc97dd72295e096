"""Limits on requests and on failed logins. Pure: times are arguments, decisions are results."""

import math
from collections import OrderedDict
from typing import Final, Generic, TypeVar

from msgspec import Struct

MAX_KEYS: Final = 10_000
"""Keys that are remembered; the least recently used one is forgotten first."""
FREE_FAILURES: Final = 5
FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 60.0
FORGET_S: Final = 900.0
"""Failures are forgotten after this long without a further one."""

V = TypeVar("V")


class Recent(Generic[V]):
    """A dictionary of bounded size that forgets what was not written for the longest."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> V | None:
        """Return what is known of a key."""
        return self._entries.get(key)

    def put(self, key: str, value: V) -> None:
        """Remember it."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > MAX_KEYS:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget it."""
        self._entries.pop(key, None)


class _Failed(Struct, frozen=True):
    times: int
    at_s: float


class Failures:
    """Counts failures by key; after a few, each further one doubles the time until the next try."""

    def __init__(self) -> None:
        self._failed: Recent[_Failed] = Recent()

    def delay_s(self, key: str, now_s: float) -> float:
        """Return how long this key has to wait; 0 when it may try."""
        failed = self._failed.get(key)
        if failed is None or failed.times < FREE_FAILURES:
            return 0.0
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failed.times - FREE_FAILURES, 16))
        return max(0.0, failed.at_s + delay_s - now_s)

    def note(self, key: str, now_s: float) -> None:
        """Note a failure."""
        failed = self._failed.get(key)
        times = failed.times if failed is not None and now_s - failed.at_s < FORGET_S else 0
        self._failed.put(key, _Failed(times + 1, now_s))

    def reset(self, key: str) -> None:
        """Forget its failures: it succeeded."""
        self._failed.drop(key)


class RateLimitDecision(Struct, frozen=True):
    """The decision about one request."""

    is_allowed: bool
    limit: int
    remaining: int
    reset_s: int
    """Until the bucket is full again, or until one more request is allowed when this one is not."""


class _Level(Struct, frozen=True):
    tokens: float
    at_s: float


class RateLimiter:
    """A token bucket for each key.

    Args:
        per_s: requests that may come in a second on the average.
        burst: requests that may come at once.

    """

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._levels: Recent[_Level] = Recent()

    def acquire(self, key: str, now_s: float) -> RateLimitDecision:
        """Take one request of a key out of its bucket, if there is one in it."""
        level = self._levels.get(key)
        tokens = float(self._burst)
        if level is not None:
            tokens = min(tokens, level.tokens + max(0.0, now_s - level.at_s) * self._per_s)
        is_allowed = tokens >= 1
        left = tokens - 1 if is_allowed else tokens
        self._levels.put(key, _Level(left, now_s))
        wanted = self._burst - left if is_allowed else 1 - left
        return RateLimitDecision(is_allowed, self._burst, int(left), max(1, math.ceil(wanted / self._per_s)))
