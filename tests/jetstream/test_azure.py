"""What blobs promise, kept in Azure's blob storage: the contract of every store, against Azurite."""

import urllib.request
import uuid
from collections.abc import Generator

import pytest
from tests.jetstream import azurite

from penstock_jetstream.adapters.blobs import open_blobs
from penstock_ports import Blobs
from penstock_testing.contracts.blobs import BlobsContract

pytestmark = [pytest.mark.system, pytest.mark.stores]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, str]]:
    assert azurite.is_there(), f"Azurite is not installed in {azurite.ROOT}: `make stores` installs it"
    with azurite.running_azurite(tmp_path_factory.mktemp("azurite")) as environ:
        yield environ


@pytest.fixture
def blobs(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Blobs:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return open_blobs(f"az://{azurite.CONTAINER}/{uuid.uuid4().hex}")


class TestAzure(BlobsContract):
    """The contract of every store."""


async def test_it_signs_links_that_work_and_no_others(blobs: Blobs) -> None:
    await blobs.put_bytes("jobs/1/outputs/a.txt", b"content")
    assert await blobs.presign("jobs/1/outputs/a b.txt", valid_s=60) is None
    url = await blobs.presign("jobs/1/outputs/a.txt", valid_s=60)
    assert url is not None
    assert read(url) == b"content"


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        content: bytes = response.read()
        return content
