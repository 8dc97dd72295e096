"""Where other WES servers name their storage: `STORAGE_BACKEND` and what belongs to it, in place of `PENSTOCK_BLOBS`.

Other settings with a usual name elsewhere have it in their annotation; see `penstock_runtime.settings`.
"""

import re
from collections.abc import Mapping
from typing import Final

from penstock_runtime.settings import BadSettings, Mistake

BLOBS: Final = "PENSTOCK_BLOBS"
BACKEND: Final = "STORAGE_BACKEND"
FOLDER: Final = "LOCAL_STORAGE_PATH"
BUCKET: Final = "S3_BUCKET_NAME"
REGION: Final = "S3_REGION"
STORAGE_NAMES: Final = (BACKEND, FOLDER, BUCKET, REGION)
CLIENT_REGION: Final = "AWS_REGION"
"""Where the S3 client looks for the region."""
_BUCKET_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}(?:/[A-Za-z0-9._/-]+)?")


def with_storage_names(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return `environ` with the storage that it names in the words of other servers under our own name.

    `STORAGE_BACKEND` is `local` when it is not set, as it is elsewhere: then the names that begin with `S3_` mean
    nothing.

    Raises:
        BadSettings: a value is wrong or missing, or contradicts the variable with Penstock's own name.

    """
    location = _location({name: environ.get(name, "").strip() for name in (*STORAGE_NAMES, BLOBS)})
    if location is None:
        return environ
    region = environ.get(REGION, "").strip()
    is_regional = bool(region) and location.startswith("s3://")
    return {**environ, BLOBS: location, **({CLIENT_REGION: region} if is_regional else {})}


def _location(given: Mapping[str, str]) -> str | None:
    """Return the value for Penstock's own name; `None` when no other name is set."""
    ours = given[BLOBS]
    match given[BACKEND].lower():
        case "s3":
            bucket = given[BUCKET]
            if not _BUCKET_NAME.fullmatch(bucket):
                raise BadSettings((Mistake(BUCKET, bucket or None, f"the name of a bucket, because {BACKEND} is s3"),))
            variable, location = BUCKET, f"s3://{bucket}"
        case "" | "local":
            if given[BACKEND] and _is_url(ours):
                raise BadSettings((Mistake(BACKEND, given[BACKEND], _conflict(ours)),))
            if not given[FOLDER]:
                return None
            variable, location = FOLDER, given[FOLDER]
        case other:
            raise BadSettings((Mistake(BACKEND, other, "local or s3"),))
    if ours and ours.rstrip("/") != location.rstrip("/"):
        raise BadSettings((Mistake(variable, given[variable], _conflict(ours)),))
    return location


def _conflict(ours: str) -> str:
    return f"the same storage as {BLOBS}, which is {ours!r}; set one of the two alone"


def _is_url(location: str) -> bool:
    return "://" in location and not location.startswith("file://")
