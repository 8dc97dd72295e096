"""Queries for lists of runs, beyond the standard too: filters, order, pages."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, cast
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock_gateway.http.bodies.json_bodies import decode
from penstock_gateway.http.parameters import QueryParameters
from penstock_gateway.http.problems import Invalid
from penstock_gateway.index.queries import MAX_LABELS, WORKFLOW_URL, JobQuery, microseconds
from penstock_gateway.operations.wes import FILTERS, IN_FILTERS, MAX_FILTERS_CHARS
from penstock_gateway.operations.wes import TIMES as TIME_PARAMETERS
from penstock_gateway.operations.wes_models import WesState
from penstock_gateway.wes.states import DETAILED_STATUS_OF
from penstock_gateway.wes.tokens import RunPlace, decode_token, encode_token
from penstock_schemas.api import MAX_PAGE
from penstock_schemas.ids import TenantId

TIMES: Final = tuple(parameter.name for parameter in TIME_PARAMETERS)
OLDEST_FIRST: Final = "created"
NEWEST_FIRST: Final = "-created"
_EXAMPLE: Final = 'a JSON object such as {"state": ["RUNNING"], "tags": {"project": "demo"}} is expected'


class RunQuery(Struct, frozen=True, kw_only=True):
    """A page of a list of runs."""

    jobs: JobQuery
    place: RunPlace | None
    """Where it begins; `None`: it is the first."""
    with_total: bool
    is_empty: bool = False
    """Whether no run can be in the list: its filters exclude each other, or no run is ever in the requested state."""

    @property
    def about(self) -> bytes:
        """Name the list, for every page and page size."""
        bare = replace(self.jobs, limit=0, below_seq=None, above_seq=None, up_to_seq=None, is_counted=False)
        return msgspec.msgpack.encode((bare, self.with_total, self.is_empty))

    def token(self, place: RunPlace) -> str:
        """Return the token of the page that begins at `place`."""
        return encode_token(place, self.about)


class Restrictions(Struct, frozen=True, kw_only=True):
    """What one set of filters leaves of all runs."""

    states: frozenset[WesState] | None = None
    """One of them; `None`: any."""
    names: frozenset[str] = frozenset()
    """All of them, so that two different ones leave nothing."""
    labels: tuple[tuple[str, str | None], ...] = ()
    """All of them."""
    times: Mapping[str, datetime] = {}
    sort: str | None = None
    with_total: bool | None = None

    def and_also(self, other: "Restrictions") -> "Restrictions":
        """Return what both leave."""
        states = self.states if other.states is None else other.states
        if self.states is not None and other.states is not None:
            states = self.states & other.states
        times = dict(self.times)
        for name, time in other.times.items():
            stricter = max if name.endswith("_after") else min
            times[name] = stricter(times.get(name, time), time)
        return Restrictions(
            states=states,
            names=self.names | other.names,
            labels=tuple(dict.fromkeys((*self.labels, *other.labels))),
            times=times,
            sort=self.sort or other.sort,
            with_total=other.with_total if self.with_total is None else self.with_total,
        )


def parse_run_query(given: QueryParameters, tenant: TenantId) -> RunQuery:
    """Return the page of the list that a query string describes.

    Raises:
        Invalid: a parameter is wrong or unknown, or a token is of another list.

    """
    tags = tuple(_label(text) for text in given.many("tag"))
    plain = replace(_restrictions(given), labels=(*_workflow_url(given), *tags))
    query = _query_of(given, plain.and_also(_filters(given, plain)), tenant)
    token = given.one("page_token")
    if token:
        place = decode_token(token, RunPlace, query.about)
        if place is None:
            detail = "this token does not belong to this list; take `next_page_token` of a page with the same filters"
            given.refuse("page_token", detail)
        else:
            query = _at_place(query, place)
    given.check()
    return query


def page_size_of(given: QueryParameters) -> int:
    """Return how many entries a page may have; more than this server gives at once counts as that many."""
    return min(given.integer("page_size"), MAX_PAGE)


def _query_of(given: QueryParameters, wanted: Restrictions, tenant: TenantId) -> RunQuery:
    times_us = {name: microseconds(time) for name, time in wanted.times.items()}
    if sum(key != WORKFLOW_URL for key, _ in wanted.labels) > MAX_LABELS:
        given.refuse("tag", f"at most {MAX_LABELS} tags are allowed in one request")
    known = [state for state in WesState if state in DETAILED_STATUS_OF and state in (wanted.states or ())]
    return RunQuery(
        jobs=JobQuery(
            tenant=tenant,
            detailed_statuses=tuple(DETAILED_STATUS_OF[state] for state in known),
            pipeline=next(iter(wanted.names), None),
            labels=wanted.labels,
            after_us=times_us.get("submitted_after"),
            before_us=times_us.get("submitted_before"),
            started_after_us=times_us.get("start_time_after"),
            started_before_us=times_us.get("start_time_before"),
            ended_after_us=times_us.get("end_time_after"),
            ended_before_us=times_us.get("end_time_before"),
            limit=page_size_of(given),
            is_oldest_first=wanted.sort == OLDEST_FIRST,
            is_counted=bool(wanted.with_total),
        ),
        place=None,
        with_total=bool(wanted.with_total),
        is_empty=(wanted.states is not None and not known) or len(wanted.names) > 1,
    )


def _at_place(query: RunQuery, place: RunPlace) -> RunQuery:
    jobs = replace(query.jobs, up_to_seq=place.moment, is_counted=False)
    jobs = replace(jobs, above_seq=place.last) if jobs.is_oldest_first else replace(jobs, below_seq=place.last)
    return replace(query, jobs=jobs, place=place)


def _restrictions(given: QueryParameters) -> Restrictions:
    states = frozenset(given.choices("state", WesState))
    sort, name = given.one("sort"), given.one("name")
    if sort not in (None, OLDEST_FIRST, NEWEST_FIRST):
        given.refuse("sort", f"`{OLDEST_FIRST}` or `{NEWEST_FIRST}` is expected")
    times = {name: given.time(name) for name in TIMES}
    return Restrictions(
        states=states if given.many("state") else None,
        names=frozenset({name} if name else ()),
        times={name: time for name, time in times.items() if time is not None},
        sort=sort,
        with_total=given.flag("total") if given.many("total") else None,
    )


def _workflow_url(given: QueryParameters) -> Iterator[tuple[str, str | None]]:
    workflow_url = given.one("workflow_url")
    if workflow_url:
        yield WORKFLOW_URL, workflow_url


def _label(text: str) -> tuple[str, str | None]:
    key, colon, value = text.partition(":")
    return key, value if colon else None


def _filters(given: QueryParameters, plain: Restrictions) -> Restrictions:
    """Return what the JSON object in `filters` leaves; what is wrong with it is noted."""
    text = given.one("filters")
    if not text or not text.strip():
        return Restrictions()
    if len(text) > MAX_FILTERS_CHARS:
        given.refuse(FILTERS.name, _EXAMPLE)
        return Restrictions()
    try:
        members = decode(text.encode(), dict[str, object], what="this")
    except Invalid as error:
        for violation in error.violations:
            given.refuse(FILTERS.name + violation.pointer.removeprefix("#"), f"{violation.detail}; {_EXAMPLE}")
        return Restrictions()
    inner = QueryParameters(urlencode(list(_texts(given, members))).encode(), IN_FILTERS)
    tags = members.get("tags", {})
    labels = tuple(_tags(given, tags))
    restrictions = replace(_restrictions(inner), labels=(*_workflow_url(inner), *labels))
    if None not in (plain.sort, restrictions.sort) and plain.sort != restrictions.sort:
        inner.refuse("sort", "the parameter `sort` requests another order")
    given.include(inner, FILTERS.name)
    return restrictions


def _texts(given: QueryParameters, members: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the members of `filters` as parameters, other than the tags."""
    for name, value in members.items():
        if name == "tags":
            continue
        several: list[object] = [value]
        if isinstance(value, list) and name == "state":
            several = cast("list[object]", value)
        for item in several:
            if isinstance(item, bool):
                yield name, "true" if item else "false"
            elif isinstance(item, str):
                yield name, item
            else:
                given.refuse(f"{FILTERS.name}/{name[:80]}", "a text is expected")


def _tags(given: QueryParameters, tags: object) -> Iterator[tuple[str, str]]:
    if not isinstance(tags, dict):
        given.refuse(f"{FILTERS.name}/tags", 'an object of texts such as {"project": "demo"} is expected')
        return
    for key, value in cast("dict[str, object]", tags).items():
        if isinstance(value, str):
            yield key, value
        else:
            given.refuse(f"{FILTERS.name}/tags/{key[:80]}", "a text is expected")
