"""API tokens: issue and revocation, and what a damaged event does to a token."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from penstock_domain.chain import Stored, digest, link
from penstock_domain.deciders import TOKEN
from penstock_domain.policy.tokens import IssueToken, RevokeToken, UnknownToken, decide
from penstock_schemas.access import Role
from penstock_schemas.events import EventData, TokenIssued, TokenRevoked
from penstock_schemas.ids import DEFAULT_TENANT, EventId
from penstock_schemas.views import EMPTY_HEAD
from penstock_schemas.wire import encode

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
ISSUED: Final = TokenIssued(
    token_id="0123456789abcdef",
    name="ci",
    principal="ada",
    tenant=DEFAULT_TENANT,
    role=Role.SUBMITTER,
    secret_sha256="0" * 64,
    expires_at=NOW + timedelta(days=1),
)
REVOKED: Final = TokenRevoked(token_id=ISSUED.token_id, reason="lost")


def history(*happened: EventData) -> list[Stored]:
    stored: list[Stored] = []
    head = EMPTY_HEAD
    for seq, data in enumerate(happened, 1):
        event = link(head, "policy.token.x", data, event_id=EventId(str(seq)), time=NOW, actor="ada")
        stored.append(Stored(seq=seq, event=event, hash=digest(encode(event))))
        head = stored[-1].head
    return stored


def test_a_new_token_is_issued() -> None:
    assert decide(None, IssueToken(issued=ISSUED)) == (ISSUED,)


def test_an_issued_token_is_not_issued_again() -> None:
    assert decide(TOKEN.fold(history(ISSUED)), IssueToken(issued=ISSUED)) == ()


def test_a_token_is_revoked() -> None:
    command = RevokeToken(token_id=ISSUED.token_id, reason="lost")
    assert decide(TOKEN.fold(history(ISSUED)), command) == (REVOKED,)


def test_an_unknown_token_cannot_be_revoked() -> None:
    with pytest.raises(UnknownToken):
        decide(None, RevokeToken(token_id=ISSUED.token_id))


def test_a_revoked_token_is_not_revoked_again() -> None:
    assert decide(TOKEN.fold(history(ISSUED, REVOKED)), RevokeToken(token_id=ISSUED.token_id)) == ()


@pytest.mark.parametrize(
    ("events", "after", "is_valid"),
    [
        ((ISSUED,), timedelta(hours=23), True),
        ((ISSUED,), timedelta(days=1), False),
        ((ISSUED, REVOKED), timedelta(0), False),
    ],
)
def test_a_token_is_valid_until_it_expires_or_is_revoked(
    events: tuple[EventData, ...], after: timedelta, is_valid: bool
) -> None:
    token = TOKEN.fold(history(*events))
    assert token is not None
    assert token.is_valid(NOW + after) is is_valid


def test_a_token_with_a_missing_event_is_not_valid() -> None:
    first, _, third = history(ISSUED, REVOKED, REVOKED)
    token = TOKEN.fold([first, third])
    assert token is not None
    assert not token.is_valid(NOW)
