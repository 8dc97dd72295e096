"""What a list of runs is asked for, beyond the standard too: filters, order, pages."""

import json
from collections.abc import Iterator
from typing import Final, cast
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock_gateway.parameters import Parameters
from penstock_gateway.problems import Invalid
from penstock_gateway.queries import MAX_LABELS, WORKFLOW_URL, JobQuery, microseconds
from penstock_gateway.wes.models import State
from penstock_gateway.wes.states import STANDING_OF
from penstock_gateway.wes.tokens import RunPlace, decode_token, encode_token
from penstock_schemas.api import DEFAULT_PAGE, MAX_PAGE, Violation
from penstock_schemas.ids import TenantId

TIMES: Final = (
    "submitted_after",
    "submitted_before",
    "start_time_after",
    "start_time_before",
    "end_time_after",
    "end_time_before",
)
FILTERS: Final = ("state", "tag", "workflow_url", "name", *TIMES, "sort", "total")
PARAMETERS: Final = ("page_size", "page_token", "filters", *FILTERS)
NEWEST_FIRST: Final = "-created"
OLDEST_FIRST: Final = "created"
MAX_FILTERS_CHARS: Final = 8192


class RunQuery(Struct, frozen=True, kw_only=True):
    """A page of a list of runs."""

    jobs: JobQuery
    place: RunPlace | None
    """Where it begins; `None`: it is the first."""
    with_total: bool
    is_empty: bool = False
    """Whether no run can be in the list: it asks for a state that no run ever has."""

    @property
    def about(self) -> bytes:
        """Name the list, whatever the page and its size."""
        bare = replace(self.jobs, limit=0, below_seq=None, above_seq=None, up_to_seq=None, is_counted=False)
        return msgspec.msgpack.encode((bare, self.with_total, self.is_empty))

    def token(self, place: RunPlace) -> str:
        """Return the token of the page that begins at `place`."""
        return encode_token(place, self.about)


def parse_run_query(query: bytes, tenant: TenantId) -> RunQuery:
    """Return the page of the list that a query string asks for.

    Raises:
        Invalid: a parameter is wrong or unknown, or a token is of another list.

    """
    given = Parameters(_with_filters(query), PARAMETERS)
    states = [given.choice("state", State, part) for text in given.many("state") for part in text.split(",")]
    wanted = {state for state in states if state is not None}
    sort = given.one("sort")
    if sort not in (None, OLDEST_FIRST, NEWEST_FIRST):
        given.refuse("sort", f"`{OLDEST_FIRST}` or `{NEWEST_FIRST}` is expected")
    with_total = given.one("total")
    if with_total not in (None, "true", "false"):
        given.refuse("total", "`true` or `false` is expected")
    times = {name: given.time(name) for name in TIMES}
    times_us = {name: None if time is None else microseconds(time) for name, time in times.items()}
    asked = RunQuery(
        jobs=JobQuery(
            tenant=tenant,
            standings=tuple(STANDING_OF[state] for state in State if state in wanted and state in STANDING_OF),
            pipeline=given.one("name") or None,
            labels=tuple(_labels(given)),
            after_us=times_us["submitted_after"],
            before_us=times_us["submitted_before"],
            started_after_us=times_us["start_time_after"],
            started_before_us=times_us["start_time_before"],
            ended_after_us=times_us["end_time_after"],
            ended_before_us=times_us["end_time_before"],
            limit=page_size_of(given),
            is_oldest_first=sort == OLDEST_FIRST,
            is_counted=with_total == "true",
        ),
        place=None,
        with_total=with_total == "true",
        is_empty=wanted == {State.UNKNOWN},
    )
    token = given.one("page_token")
    if token:
        place = decode_token(token, RunPlace, asked.about)
        if place is None:
            detail = "this is no token of this list; take `next_page_token` of a page with the same filters"
            given.refuse("page_token", detail)
        else:
            asked = _turned(asked, place)
    given.check()
    return asked


def page_size_of(given: Parameters) -> int:
    """Return how many entries a page may have; more than this server gives at once counts as that many."""
    return min(given.integer("page_size", DEFAULT_PAGE, low=1, high=(1 << 63) - 1), MAX_PAGE)


def _turned(asked: RunQuery, place: RunPlace) -> RunQuery:
    jobs = replace(asked.jobs, up_to_seq=place.moment, is_counted=False)
    jobs = replace(jobs, above_seq=place.last) if jobs.is_oldest_first else replace(jobs, below_seq=place.last)
    return replace(asked, jobs=jobs, place=place)


def _labels(given: Parameters) -> Iterator[tuple[str, str | None]]:
    tags = given.many("tag")
    if len(tags) > MAX_LABELS:
        given.refuse("tag", f"at most {MAX_LABELS} tags can be asked for at once")
    for text in tags:
        key, colon, value = text.partition(":")
        if not key:
            given.refuse("tag", "a tag is asked for as `key:value` or `key`")
        else:
            yield key, value if colon else None
    workflow_url = given.one("workflow_url")
    if workflow_url:
        yield WORKFLOW_URL, workflow_url


def _with_filters(query: bytes) -> bytes:
    """Write the members of the JSON object in `filters` out as parameters of their own."""
    if b"filters" not in query:
        return query
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        return query  # said by whoever reads it
    written: list[tuple[str, str]] = []
    for name, value in pairs:
        written.extend(_members(value) if name == "filters" else [(name, value)])
    return urlencode(written).encode()


def _members(text: str) -> Iterator[tuple[str, str]]:
    try:
        found: object = json.loads(text) if len(text) <= MAX_FILTERS_CHARS else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid([Violation(pointer="filters", detail='a JSON object such as {"state": ["RUNNING"]} is expected')])
    for name, value in cast("dict[str, object]", found).items():
        if name == "tags" and isinstance(value, dict):
            tags = cast("dict[str, object]", value)
            yield from (("tag", f"{key}:{_text(name, each)}") for key, each in tags.items())
        elif name not in FILTERS:
            raise Invalid([Violation(pointer="filters", detail=f"`{name[:80]}` is none of {', '.join(FILTERS)}, tags")])
        else:
            members = cast("list[object]", value) if isinstance(value, list) else [value]
            yield from ((name, _text(name, each)) for each in members)


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    raise Invalid([Violation(pointer="filters", detail=f"a text is expected for `{name[:80]}`")])
