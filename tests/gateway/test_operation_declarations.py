"""What holds for the declarations of all operations together."""

import re

import msgspec
import pytest

from penstock_domain.access import NEEDED_TO_SEE_RUNNERS
from penstock_gateway.http import problems
from penstock_gateway.http.operations import Link, Operation, ResponseSpec
from penstock_gateway.operations import OPERATIONS, pages, server
from penstock_gateway.operations.links import job_links, version_links
from penstock_gateway.operations.parts import MIN_SEQ, MIN_SEQ_PROBLEMS, limit
from penstock_schemas.api import MAX_PAGE

PAGES = (pages.OPENAPI, pages.SWAGGER_PAGE, pages.REDOC_PAGE, pages.PROBLEMS_PAGE, pages.ASSET)
BY_NAME = {operation.name: operation for operation in OPERATIONS}
ANSWERS = [(operation, answer) for operation in OPERATIONS for answer in operation.answers]
LINKS = [(answer, link) for _, answer in ANSWERS for link in answer.links]


def path_parameters(operation: Operation) -> set[str]:
    return set(re.findall(r"\{([a-z_]+)\}", operation.path))


def test_names_and_paths_are_unique() -> None:
    every = (*OPERATIONS, *PAGES)
    assert len({operation.name for operation in every}) == len(every)
    assert len({(operation.method, operation.path, operation.surface) for operation in every}) == len(every)


@pytest.mark.parametrize("operation", [*OPERATIONS, *PAGES], ids=lambda operation: operation.name)
def test_every_parameter_of_a_path_is_declared(operation: Operation) -> None:
    declared = [parameter.name for parameter in operation.parameters if parameter.where == "path"]
    assert sorted(declared) == sorted(path_parameters(operation))
    names = [(parameter.where, parameter.name) for parameter in operation.parameters]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_for_some_roles_names_its_action(operation: Operation) -> None:
    assert bool(operation.action) is (operation.role is not None)
    assert set(re.findall(r"\{([a-z_]+)\}", operation.action)) <= path_parameters(operation)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_that_waits_for_a_sequence_has_the_problems_of_that(operation: Operation) -> None:
    if MIN_SEQ in operation.parameters:
        assert set(MIN_SEQ_PROBLEMS) <= set(operation.problems)


@pytest.mark.parametrize(
    ("operation", "answer"), ANSWERS, ids=lambda value: value.name if isinstance(value, Operation) else ""
)
def test_an_example_is_what_its_answer_returns(operation: Operation, answer: ResponseSpec) -> None:
    if answer.shape is None:
        assert answer.example is None or answer.media_type != "application/json"
    elif answer.example is not None:
        msgspec.json.decode(msgspec.json.encode(answer.example), type=answer.shape)  # raises what is wrong with it


@pytest.mark.parametrize("name", sorted({link.operation for _, link in LINKS}))
def test_a_link_gives_an_operation_parameters_that_it_has(name: str) -> None:
    target = BY_NAME[name]
    known = {parameter.name for parameter in target.parameters}
    for _, link in LINKS:
        if link.operation == name:
            assert link.parameters.keys() <= known
            assert link.parameters or link.body
            assert link.body is None or target.body is not None


@pytest.mark.parametrize("links", [job_links("/id"), version_links("/name", "/version")])
def test_a_link_takes_its_values_from_the_body(links: tuple[Link, ...]) -> None:
    assert len({link.operation for link in links}) == len(links)
    for link in links:
        for value in (*link.parameters.values(), *(link.body or {}).values()):
            assert re.fullmatch(r"\$response\.body#(/[a-z_]+)+", value), value


def test_only_the_state_of_the_installation_needs_a_role() -> None:
    needs_role = {operation.path for operation in server.SERVER if operation.role is not None}
    assert needs_role == {"/runners", "/status"}
    assert {operation.role for operation in server.SERVER} == {None, NEEDED_TO_SEE_RUNNERS}
    assert {operation.method for operation in server.SERVER} == {"get"}
    for operation in (server.LIST_RUNNERS, server.GET_STATUS):
        assert problems.UNAVAILABLE in operation.problems


def test_a_page_of_the_documentation_takes_any_query() -> None:
    assert not any(page.checks_query or page.role for page in PAGES)
    assert not {page.path for page in PAGES} & {operation.path for operation in OPERATIONS}


@pytest.mark.parametrize("default", [1, 20, MAX_PAGE])
def test_a_page_has_a_bounded_number_of_entries(default: int) -> None:
    schema = limit(default).schema
    assert schema["minimum"] <= schema["default"] == default <= schema["maximum"] == MAX_PAGE
