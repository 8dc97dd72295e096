"""Errors of the native HTTP API."""

from msgspec import Struct


class Violation(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a request."""

    pointer: str
    """Where: a JSON pointer (RFC 6901) into the body as a URI fragment, `#/parameters/x`; or the parameter's name."""
    detail: str
    """What is wrong with it, and how to fix it."""


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error, as `application/problem+json` (RFC 9457)."""

    type: str
    """A URI reference that names the kind of problem."""
    title: str
    status: int
    detail: str
    instance: str | None = None
    """Names this occurrence; for an internal error also in the server's log."""
    errors: tuple[Violation, ...] = ()
