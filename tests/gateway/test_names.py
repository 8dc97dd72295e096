"""Every name that can reach a subject, a header, a path or SQL refuses what these would read in another way."""

import types
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from penstock_domain import aggregates
from penstock_domain.policy import tokens
from penstock_gateway.authentication import users
from penstock_gateway.authentication.oidc import principal_of
from penstock_gateway.authentication.provider import ProviderSettings
from penstock_gateway.http.dispatcher import parse_job_id
from penstock_gateway.http.problems import Invalid, NotFound, Unauthenticated
from penstock_gateway.index.queries import JobQuery, decode_cursor, encode_cursor
from penstock_gateway.jobs.core.idempotency import key_of_header
from penstock_gateway.operations.runs import is_task_id
from penstock_gateway.wes.tokens import TaskPlace, decode_token, encode_token
from penstock_ports.adapter_checks import check_key
from penstock_runner.settings import RUNNER_NAME_PATTERN
from penstock_scheduler.settings import NamePart
from penstock_schemas import api
from penstock_schemas.access import Role
from penstock_schemas.api import IdempotencyKey, JobSubmission, LabelKey, PipelineVersionName, ResourceName
from penstock_schemas.ids import DEFAULT_TENANT, is_idempotency_key, is_name, is_token
from penstock_schemas.jobs import Name, Token

JOB_ID: Final = "550e8400-e29b-41d4-a716-446655440000"
QUERY: Final = JobQuery(tenant=DEFAULT_TENANT)
Accepts = Callable[[str], bool]


def shaped(hint: Any) -> Accepts:
    """Return a function that returns whether msgspec takes a text for `hint`."""

    def accepts(text: str) -> bool:
        with suppress(msgspec.ValidationError):
            return bool(msgspec.convert(text, hint) == text)
        return False

    return accepts


def unless(*refusals: type[Exception], use: Callable[[str], object]) -> Accepts:
    """Return a function that returns whether `use` takes a text."""

    def accepts(text: str) -> bool:
        with suppress(*refusals):
            use(text)
            return True
        return False

    return accepts


def claim(name: str) -> Accepts:
    settings = ProviderSettings(
        issuer="https://id.example",
        audience=("penstock",),
        tenant=DEFAULT_TENANT,
        tenant_claim="tenant",
        roles={"x": Role.VIEWER},
    )
    given = {"sub": "ada", "tenant": "default", "roles": ["x"]}
    return unless(Unauthenticated, use=lambda text: principal_of({**given, name: text}, settings))


def user_entry(form: str) -> Accepts:
    hashed = "$2b$12$" + "a" * 53
    return unless(users.BadUser, use=lambda text: users.parse_users([form.format(name=text, hash=hashed)]))


TOKENS: Final[dict[str, tuple[Accepts, str]]] = {
    "a token of a subject": (is_token, "default"),
    "tenant, pipeline, engine or preset in a body": (shaped(Token), "rna-seq"),
    "tenant of a user with a password": (
        lambda text: user_entry("ada:{hash}:viewer@{name}")(text) and text != "",
        "t1",
    ),
    "tenant in a claim": (claim("tenant"), "t1"),
    "runner": (shaped(Annotated[str, Meta(pattern=RUNNER_NAME_PATTERN)]), "lab-1"),
    "scheduler": (shaped(NamePart), "scheduler"),
    "aggregate": (unless(ValueError, use=aggregates.check), "job.default." + JOB_ID),
    "id of an API token": (tokens.is_token_id, "0123456789abcdef"),
    "id of a job or a run": (unless(Invalid, NotFound, use=parse_job_id), JOB_ID),
    "id of a task": (is_task_id, "call-1.x"),
    "version of a pipeline": (shaped(PipelineVersionName), "1.2+b"),
    "resource": (shaped(ResourceName), "mem_mb"),
    "cursor": (lambda text: decode_cursor(text, QUERY) is not None, encode_cursor(7, QUERY)),
    "page token": (
        lambda text: decode_token(text, TaskPlace, b"x") is not None,
        encode_token(TaskPlace(3), b"x"),
    ),
}
"""What takes a name of letters, digits and a few marks, with one that it takes."""

TEXTS: Final[dict[str, tuple[Accepts, str]]] = {
    "name in a body": (shaped(Name), "Ada Lovelace"),
    "owner or holder of a token": (is_name, "Ada Lovelace"),
    "user with a password": (user_entry("{name}:{hash}"), "ada"),
    "name in a claim": (claim("sub"), "Ada Lovelace"),
    "key of a label": (shaped(LabelKey), "batch 7"),
    "idempotency key in a body": (shaped(IdempotencyKey), "order 66"),
    "idempotency key": (is_idempotency_key, "order 66"),
    "idempotency key in a header": (
        unless(Invalid, use=lambda text: key_of_header(text, None)),
        "order 66",
    ),
    "key of a blob": (unless(ValueError, use=check_key), "jobs/7/a b"),
}
"""What takes visible text of any language, with one that it takes."""

COMPOSED: Final = ("owner or holder of a token", "user with a password", "name in a claim")
"""Names that decide what somebody may do: two that look the same must be the same."""
UNSEEN: Final = ("\n", "\r", "\t", "\0", "\x7f", "\x85", "\u2028", "\u200b", "\u202e", "\ufeff")
NOT_IN_TOKENS: Final = (*UNSEEN, " ", "\xa0", "*", ">", "/", "%", "'", '"', "\\", "$", "\u00e9", "e\u0301", "\uff11")

FREE_TEXT: Final = frozenset(
    {
        "Base64File.base64",  # decoded, never used as it is
        "SubmittedSource.git",  # an address, checked by the intake
        "SubmittedSource.ref",
        "SubmittedSource.url",
        "SubmittedSource.path",  # checked against the source roots
        "SubmittedSource.entrypoint",  # a path, checked by the intake
        "JobSubmission.description",
        "PipelineRegistration.description",
        "RerunRequest.description",
        "RetryRequest.description",
        "SubmittedFile.text",  # content
        "SubmittedFile.base64",
        "SubmittedFile.link",  # paths of any bytes, checked where files are taken in
        "SubmittedFile.link_base64",
        "SubmittedFile.path_base64",
        "CancelRequest.reason",
        "CloseRequest.reason",
        "HoldRequest.reason",
    }
)
"""Fields of requests that are no names: nothing is called so, they are stored and shown as they are."""


@pytest.mark.parametrize("name", [*TOKENS, *TEXTS])
def test_the_example_is_taken(name: str) -> None:
    accepts, example = {**TOKENS, **TEXTS}[name]
    assert accepts(example)


@pytest.mark.parametrize("name", TOKENS)
@given(data=st.data())
def test_a_token_holds_nothing_else(name: str, data: st.DataObject) -> None:
    accepts, example = TOKENS[name]
    place = data.draw(st.integers(0, len(example)))
    strange = data.draw(st.sampled_from(NOT_IN_TOKENS) | st.characters(exclude_categories=["Cs"]))
    text = example[:place] + strange + example[place:]
    if accepts(text):
        assert text.isascii()
        assert text.isprintable()
        assert set(text) <= set("-._+") | set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@pytest.mark.parametrize("name", TEXTS)
@given(data=st.data())
def test_a_name_holds_only_what_is_seen(name: str, data: st.DataObject) -> None:
    accepts, example = TEXTS[name]
    place = data.draw(st.integers(0, len(example)))
    text = example[:place] + data.draw(st.sampled_from(UNSEEN)) + example[place:]
    assert not accepts(text)


@pytest.mark.parametrize("name", sorted(set(TEXTS) - {"key of a blob"}))
@pytest.mark.parametrize("blank", [" ", "\xa0", "\u3000"])
def test_a_name_has_no_blank_around_it(name: str, blank: str) -> None:
    accepts, example = TEXTS[name]
    assert not accepts(example + blank)
    assert not accepts(blank + example)
    assert not accepts(blank)


@pytest.mark.parametrize("name", COMPOSED)
def test_a_name_that_gives_rights_has_one_form(name: str) -> None:
    accepts, _ = TEXTS[name]
    assert accepts(unicodedata.normalize("NFC", "Ren\u00e9"))
    assert not accepts(unicodedata.normalize("NFD", "Ren\u00e9"))


@given(st.uuids())
def test_a_job_id_has_one_form(job_id: uuid.UUID) -> None:
    assert parse_job_id(job_id.hex.upper()) == str(job_id)


def test_every_text_of_a_request_is_a_name_or_free_text() -> None:
    requests = [
        var
        for var in vars(api).values()
        if isinstance(var, type) and issubclass(var, Struct) and var.__struct_config__.forbid_unknown_fields
    ]
    assert JobSubmission in requests
    unchecked = {field for request in requests for field in _unchecked(request)}
    assert unchecked == FREE_TEXT, "give a new text a pattern, or list it as free text with the reason"


def _unchecked(shape: type[Struct]) -> Iterator[str]:
    for name, hint in get_type_hints(shape, include_extras=True).items():
        if _has_bare_text(hint):
            yield f"{shape.__name__}.{name}"


def _has_bare_text(hint: Any) -> bool:
    """Return whether the type allows a text, or a key of an object, that no pattern checks."""
    if hint is str:
        return True
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        has_pattern = any(isinstance(meta, Meta) and meta.pattern is not None for meta in metas)
        return False if inner is str and has_pattern else _has_bare_text(inner)
    if get_origin(hint) in (Union, types.UnionType):
        return any(_has_bare_text(arg) for arg in get_args(hint))
    if get_origin(hint) is dict:
        # Parameters are the workflow's own; the files of a source are paths that the intake checks.
        key = get_args(hint)[0]
        return key is not str and _has_bare_text(key)
    return False
