"""From paths to operations."""

from typing import Any

import pytest

from penstock_gateway.http.dispatcher import Router
from penstock_gateway.http.operations import Operation, Parameter, Route, Surface

TEXT = {"type": "string"}


def route(method: str, path: str, surface: Surface = Surface.NATIVE) -> Route:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = tuple(Parameter(name, "path", "", TEXT) for name in names)
    name = f"{method} {path}"
    operation = Operation(
        method=method, path=path, name=name, summary="", tag="", answers=(), parameters=parameters, surface=surface
    )

    async def handler(*_: Any) -> Any:
        raise AssertionError("a router calls no handler")

    return Route(operation, handler)


ROUTER = Router(
    [
        route("get", "/"),
        route("get", "/jobs"),
        route("post", "/jobs"),
        route("get", "/jobs/{job_id}"),
        route("get", "/jobs/latest"),
        route("get", "/jobs/{job_id}/outputs"),
        route("get", "/jobs/{job_id}/outputs/{path}"),
        route("get", "/runs", Surface.WES),
    ],
    {Surface.WES: "/wes"},
)


@pytest.mark.parametrize(
    ("path", "name", "values"),
    [
        ("/", "get /", ()),
        ("/jobs", "get /jobs", ()),
        ("/jobs/1", "get /jobs/{job_id}", ("1",)),
        ("/jobs/latest", "get /jobs/latest", ()),
        ("/jobs/1/outputs", "get /jobs/{job_id}/outputs", ("1",)),
        ("/jobs/1/outputs/a/b.txt", "get /jobs/{job_id}/outputs/{path}", ("1", "a/b.txt")),
        ("/wes/runs", "get /runs", ()),
    ],
)
def test_a_path_leads_to_its_operation(path: str, name: str, values: tuple[str, ...]) -> None:
    match = ROUTER.match(path)
    assert match is not None
    assert match.endpoints["GET"].operation.name == name
    assert match.values == values


@pytest.mark.parametrize("path", ["", "/job", "/jobs/1/x", "/jobs/", "/jobs//outputs", "/runs", "/wes", "jobs"])
def test_a_path_that_no_operation_has_leads_nowhere(path: str) -> None:
    assert ROUTER.match(path) is None
    assert ROUTER.methods_at(path) == ()


def test_the_methods_of_a_path_are_those_of_all_its_operations() -> None:
    assert ROUTER.methods_at("/jobs") == ("GET", "HEAD", "OPTIONS", "POST")
    assert ROUTER.methods_at("/jobs/1") == ("GET", "HEAD", "OPTIONS")


def test_two_operations_cannot_have_the_same_address() -> None:
    with pytest.raises(ValueError, match=r"GET /a/\{x\}"):
        Router([route("get", "/a/{x}"), route("get", "/a/{x}")], {})


def test_a_path_parameter_must_be_declared() -> None:
    undeclared = Operation(method="get", path="/a/{x}", name="a", summary="", tag="", answers=())
    with pytest.raises(KeyError):
        Router([Route(undeclared, route("get", "/").handler)], {})
