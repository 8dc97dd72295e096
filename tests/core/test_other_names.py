"""The storage in the words of other WES servers."""

import pytest

from penstock_runtime.settings import BadSettings
from penstock_runtime.storage_variables import with_storage_names

S3 = {"STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "wes-workflows"}


@pytest.mark.parametrize(
    ("environ", "location"),
    [
        ({}, None),
        ({"STORAGE_BACKEND": "local"}, None),
        ({"LOCAL_STORAGE_PATH": "/var/wes/storage"}, "/var/wes/storage"),
        ({"STORAGE_BACKEND": "LOCAL", "LOCAL_STORAGE_PATH": "/var/wes/storage"}, "/var/wes/storage"),
        ({"LOCAL_STORAGE_PATH": "/a", "S3_BUCKET_NAME": "ignored", "S3_REGION": "ignored"}, "/a"),
        ({"S3_BUCKET_NAME": "of-another-program"}, None),
        (S3, "s3://wes-workflows"),
        (S3 | {"LOCAL_STORAGE_PATH": "/ignored"}, "s3://wes-workflows"),
        (S3 | {"PENSTOCK_BLOBS": "s3://wes-workflows/"}, "s3://wes-workflows"),
        ({"LOCAL_STORAGE_PATH": "/a", "PENSTOCK_BLOBS": "/a"}, "/a"),
        ({"STORAGE_BACKEND": "local", "PENSTOCK_BLOBS": "/a"}, "/a"),
    ],
)
def test_it_stands_under_our_own_name(environ: dict[str, str], location: str | None) -> None:
    assert with_storage_names(environ).get("PENSTOCK_BLOBS") == location


def test_the_region_reaches_the_s3_client() -> None:
    named = with_storage_names(S3 | {"S3_REGION": "eu-central-1", "AWS_REGION": "us-east-1"})
    assert named["AWS_REGION"] == "eu-central-1"
    assert with_storage_names(S3 | {"AWS_REGION": "us-east-1"})["AWS_REGION"] == "us-east-1"
    assert "AWS_REGION" not in with_storage_names({"LOCAL_STORAGE_PATH": "/a", "S3_REGION": "eu-central-1"})


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"STORAGE_BACKEND": "gcs"}, ("STORAGE_BACKEND", "local or s3")),
        ({"STORAGE_BACKEND": "s3"}, ("S3_BUCKET_NAME", "STORAGE_BACKEND is s3")),
        ({"STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "a b"}, ("S3_BUCKET_NAME", "'a b'")),
        ({"STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "a\n"}, ("S3_BUCKET_NAME",)),
        ({"LOCAL_STORAGE_PATH": "/a", "PENSTOCK_BLOBS": "/b"}, ("LOCAL_STORAGE_PATH", "PENSTOCK_BLOBS", "'/b'")),
        (S3 | {"PENSTOCK_BLOBS": "/b"}, ("S3_BUCKET_NAME", "PENSTOCK_BLOBS")),
        ({"STORAGE_BACKEND": "local", "PENSTOCK_BLOBS": "s3://b"}, ("STORAGE_BACKEND", "PENSTOCK_BLOBS")),
    ],
)
def test_what_is_wrong_or_contradicts_our_own_name_is_refused(environ: dict[str, str], names: tuple[str, ...]) -> None:
    with pytest.raises(BadSettings) as caught:
        with_storage_names(environ)
    assert all(name in str(caught.value) for name in names)
