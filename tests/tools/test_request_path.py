"""The number of product files that a request passes through, which is what a reader of its path has to open."""

from tools.request_path import measure

MAX_FILES = {"POST /jobs": 45, "GET /jobs/{id}": 26}
"""Lower these bounds when a path gets shorter; a new file on a path needs a reason."""


async def test_a_request_passes_through_few_files() -> None:
    found = await measure()
    assert found.keys() == MAX_FILES.keys()
    for request, files in found.items():
        assert len(files) <= MAX_FILES[request], (request, files)
    assert "services/gateway/penstock_gateway/jobs/core/admission.py" in found["POST /jobs"]
