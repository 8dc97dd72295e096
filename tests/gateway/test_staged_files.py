"""Files that come beside a submission are part of its fingerprint."""

from collections.abc import AsyncGenerator

from penstock_gateway.jobs.submission.staged_files import brought_by
from penstock_sources.staging.uploads import Uploads
from penstock_testing.memory import MemoryBlobs


async def content() -> AsyncGenerator[bytes]:
    yield b"rule all:\n"


async def test_only_files_that_came_have_a_fingerprint() -> None:
    assert brought_by(None) is None
    async with Uploads(MemoryBlobs()).begin("jobs/1/source") as upload:
        assert brought_by(upload) is None
        await upload.put("Snakefile", content())
        assert brought_by(upload) == upload.fingerprint
