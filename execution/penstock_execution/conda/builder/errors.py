"""What the failures of conda tools mean: the texts are the tools' own, the sentences are for users."""

import re
from typing import Final

from penstock_execution.conda.build_messages import BuildFailed

MAX_NAMED_CHARS: Final = 150
_FULL: Final = re.compile(
    r"no space left on device|os error 28\b|os error 122\b|os error 27\b|disk quota exceeded", re.IGNORECASE
)
_CHECKSUM: Final = re.compile(
    r"hash mismatch|checksum mismatch|sha256 mismatch|md5 mismatch|ChecksumMismatch", re.IGNORECASE
)
_ABSENT: Final = re.compile(r"could not find subdir|status client error \(40[134]|\b404\b", re.IGNORECASE)
_UNREACHABLE: Final = re.compile(
    r"error sending request|tcp connect error|dns error|timed out|connection (?:refused|reset|closed)"
    r"|status server error|error decoding response|incomplete|unexpected end of file|CondaHTTPError|Could not connect",
    re.IGNORECASE,
)
_PACKAGE: Final = re.compile(r"failed to (?:fetch|link|extract) (?P<name>\S+)")
_NO_CANDIDATE: Final = re.compile(r"No candidates were found for (?P<name>[^\n]*?)\.?\s*\Z", re.IGNORECASE)
_NOT_SOLVED: Final = re.compile(
    r"cannot solve|LibMambaUnsatisfiableError|UnsatisfiableError|ResolvePackageNotFound|PackagesNotFoundError"
    r"|Could not solve for environment specs|nothing provides",
    re.IGNORECASE,
)


def described(what: str, text: str) -> BuildFailed:
    """Return the failure that a tool's text describes; `what` is for texts that nothing is known of."""
    detail = text.strip()
    package = _PACKAGE.search(text)
    name = package["name"][:MAX_NAMED_CHARS] if package else "a package"
    if _FULL.search(text):
        return BuildFailed(
            "the disk with the environments is full, or a quota on it is used up; a retry helps once there is space",
            detail=detail,
            may_retry=True,
        )
    if _CHECKSUM.search(text):
        return BuildFailed(
            f"{name} is not the archive that its channel lists: its checksum is another one; it was not installed",
            detail=detail,
        )
    if missing := _NO_CANDIDATE.search(text.strip()):
        wanted = missing["name"][:MAX_NAMED_CHARS].removesuffix(" *")
        return BuildFailed(f"no channel of the environment has a package that matches {wanted!r}", detail=detail)
    if _NOT_SOLVED.search(text):
        return BuildFailed(
            "the environment cannot be solved: its packages exclude one another or are missing; see the detail",
            detail=detail,
        )
    if _ABSENT.search(text):
        return BuildFailed("a channel, or a package in it, does not exist at its address", detail=detail)
    if _UNREACHABLE.search(text):
        return BuildFailed("a channel cannot be reached; a retry may help", detail=detail, may_retry=True)
    if package:
        return BuildFailed(f"{name} is broken and cannot be installed", detail=detail)
    return BuildFailed(f"{what}: {detail.splitlines()[0] if detail else 'no reason was given'}"[:400], detail=detail)
