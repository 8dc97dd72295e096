"""Parts of a path that name nothing: each is answered with 404, and never with an internal error."""

import re
import uuid

import pytest
from tests.gateway.gateway_harness import GatewayHarness, submit

STRANGE = ("%0a", "%0d", "%00", "%09", "%7f", "%c2%85", "%e2%80%a8", "%0a%0a")
"""What is appended to a name that would be found."""


def paths(harness: GatewayHarness, job_id: str) -> list[tuple[str, str]]:
    """Return every address with parameters, with values that would be found."""
    values = {"job_id": job_id, "run_id": job_id, "name": "calls", "version": "1", "token_id": "0" * 16}
    values |= {"task_id": "call", "stream": "stdout", "path": "a.txt"}
    found: list[tuple[str, str]] = []
    for template, endpoints in harness.gateway.router.paths.items():
        if "{" in template:
            path = re.sub(r"\{(\w+)\}", lambda name: values[name[1]], template)
            found += [(method, path) for method in endpoints]
    return sorted(found)


@pytest.mark.parametrize("strange", STRANGE)
async def test_a_name_with_what_cannot_be_shown_is_not_found(harness: GatewayHarness, strange: str) -> None:
    async with harness.serve() as client:
        job_id = (await submit(client))["id"]
        found = paths(harness, job_id)
        assert len(found) > 30
        for method, path in found:
            for hostile in _insertions(path, strange):
                response = await client.request(method, hostile)
                assert response.status_code == 404, f"{method} {hostile}: {response.text}"


def _insertions(path: str, strange: str) -> list[str]:
    """Return the path with something strange at the end of each part that a client chooses."""
    parts = path.split("/")
    chosen = [index for index, part in enumerate(parts) if part in ("calls", "1", "call", "a.txt") or _is_id(part)]
    return ["/".join([*parts[:item], parts[item] + strange, *parts[item + 1 :]]) for item in chosen]


def _is_id(part: str) -> bool:
    try:
        uuid.UUID(part)
    except ValueError:
        return part == "0" * 16
    return True
