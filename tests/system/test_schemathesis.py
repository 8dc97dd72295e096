"""schemathesis finds nothing wrong with a whole running system, given the document that it serves."""

import sys
from collections.abc import Generator
from pathlib import Path

import anyio
import httpx
import pytest
from tests.cli.systems import Up, up

CONFIGURATION = Path(__file__).parents[2] / "schemathesis.toml"
DEADLINE_S = 900.0
"""It takes 40 s on an idle machine of two cores."""
EXAMPLES = "6"
"""For each operation and phase, which is some 1,500 requests; what a run by hand with more finds becomes a test."""
SEED = "20260101"

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Generator[Up]:
    with up(tmp_path_factory.mktemp("system")) as started:
        yield started


async def test_the_served_document_is_true(system: Up, tmp_path: Path) -> None:
    assert await find(system.record.url, tmp_path, "--seed", SEED) == ""


async def test_it_holds_the_operations_of_both_apis(system: Up) -> None:
    async with httpx.AsyncClient(base_url=system.record.url) as client:
        document = (await client.get("/openapi.json")).json()

    operations = {method["operationId"] for methods in document["paths"].values() for method in methods.values()}
    assert {"submitJob", "listJobs", "RunWorkflow", "ListRuns", "GetServiceInfo"} <= operations
    links = [
        link
        for methods in document["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert links
    assert {link["operationId"] for link in links} <= operations


async def find(url: str, folder: Path, *more: str) -> str:
    """Return the report of schemathesis when it finds something."""
    (folder / CONFIGURATION.name).write_text(CONFIGURATION.read_text())  # found by itself, as in the repository's root
    program = Path(sys.executable).with_name("schemathesis")
    options = [
        *("--checks", "all", "--max-examples", EXAMPLES, "--max-response-time", "60", "--request-timeout", "120"),
        *("--continue-on-failure", "--no-color", *more),
    ]
    with anyio.fail_after(DEADLINE_S):
        found = await anyio.run_process([program, "run", url + "/openapi.json", *options], cwd=folder, check=False)
    return "" if found.returncode == 0 else (found.stdout + found.stderr).decode()
