"""The contract of blob stores, on the store in memory, a folder and S3."""

import uuid
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.s3 import BUCKET, S3Server, running_s3

from penstock_domain import blob_keys
from penstock_jetstream.adapters.blobs import BadBlobsLocation, open_blobs
from penstock_ports import Blobs
from penstock_ports.adapter_checks import check_key
from penstock_testing.contracts.blobs import BlobsContract
from penstock_testing.memory import MemoryBlobs


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Generator[S3Server]:
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.mark.system
class TestBlobs(BlobsContract):
    @pytest.fixture(params=["fake", "folder", "memory", "S3"])
    def blobs(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
        match request.param:
            case "S3":
                server: S3Server = request.getfixturevalue("s3")
                for name, value in server.environ.items():
                    monkeypatch.setenv(name, value)
                return open_blobs(f"s3://{BUCKET}/{uuid.uuid4().hex}")
            case "fake":
                return MemoryBlobs()
            case "folder":
                return open_blobs(tmp_path / "blobs")
            case _:
                return open_blobs("memory:///")


def test_every_safe_path_has_a_plain_key_of_its_own() -> None:
    paths = ["a", "a/b c.txt", "ü", "a#1", "a#2", "50%", "x" * 255, "y" * 255]
    keys = [blob_keys.below("jobs/1/source", path) for path in paths]
    assert keys[:3] == ["jobs/1/source/a", "jobs/1/source/a/b c.txt", "jobs/1/source/ü"]
    assert len(set(keys)) == len(keys)
    for key in keys:
        check_key(key)


def test_a_location_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBlobsLocation, match="s3://"):
        open_blobs("ftp://somewhere/else")
    (tmp_path / "file").touch()
    with pytest.raises(BadBlobsLocation, match="choose a folder"):
        open_blobs(tmp_path / "file")
