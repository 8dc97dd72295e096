"""Rules for what stays behind when a workflow's folder is sent: patterns as in `.gitignore`, each with its origin."""

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final

from msgspec import Struct

from penstock_schemas.jobs import MAX_LEFT_OUT, LeftOut

VERSION_CONTROL: Final = (".git", ".hg", ".svn")
CACHES: Final = (
    "__pycache__/",
    ".venv/",
    "venv/",
    "node_modules/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".pytest_cache/",
    ".ipynb_checkpoints/",
    ".DS_Store",
    "*.pyc",
    ".nextflow*",
)
"""Left out unless git tracks it."""
SECRETS: Final = (
    *(".env", ".env.*", "!.env.example", "!.env.sample", "!.env.template", ".envrc"),
    *(".ssh/", ".gnupg/", ".aws/", ".azure/", ".kube/", ".docker/", "gcloud/"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "!*.pub"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk"),
    *(".netrc", "_netrc", ".git-credentials", ".pypirc", ".npmrc", ".pgpass", ".my.cnf", ".htpasswd", ".dockercfg"),
    *("credentials", "credentials.json", "application_default_credentials.json"),
    *("client_secret*.json", "service-account*.json", "service_account*.json"),
    *("kubeconfig", "*.kubeconfig", ".vault-token", ".s3cfg", ".boto", "rclone.conf", ".Renviron"),
    *("secrets.yaml", "secrets.yml", "secrets.json", "secrets.toml", ".*_history"),
)
"""Files that hold passwords and keys by custom. Left out even where git tracks them."""
MAX_NAMED: Final = 3
"""Paths that one rule leaves out and that are listed one by one; more become one entry."""
MAX_TEXT_CHARS: Final = 300


class Rule(Struct, frozen=True):
    """One pattern."""

    pattern: str
    is_negated: bool
    is_folder: bool
    is_anchored: bool
    reason: str

    def fits(self, path: str, *, is_folder: bool) -> bool:
        """Return whether the pattern names `path`."""
        if self.is_folder and not is_folder:
            return False
        if self.is_anchored:
            return _fits_parts(path.split("/"), self.pattern.split("/"))
        return fnmatch.fnmatchcase(PurePosixPath(path).name, self.pattern)


def rules_of_file(name: str, lines: Iterable[str]) -> Iterator[Rule]:
    """Yield the rules of an ignore file."""
    for number, line in enumerate(lines, start=1):
        yield from _rules(line, f"{name} line {number} '{line.strip()}'")


def rules_of(patterns: Iterable[str], why: str) -> Iterator[Rule]:
    """Yield the rules of patterns; `{}` in `why` represents the pattern."""
    for one_pattern in patterns:
        yield from _rules(one_pattern, why.replace("{}", one_pattern))


def deciding(path: str, rules: Sequence[Rule], *, is_folder: bool) -> Rule | None:
    """Return the rule that leaves `path` out, as git does: the last one that fits decides."""
    found: Rule | None = None
    for rule in rules:
        if rule.fits(path, is_folder=is_folder):
            found = None if rule.is_negated else rule
    return found


def grouped(entries: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Return a list of bounded length: what one rule left out in many places becomes one entry."""
    by_reason: dict[str, list[LeftOut]] = {}
    for one_entry in entries:
        by_reason.setdefault(one_entry.reason, []).append(one_entry)
    listed: list[LeftOut] = []
    for reason, group in by_reason.items():
        if len(group) <= MAX_NAMED:
            listed.extend(group)
        else:
            listed.append(_merged(f"{group[0].path} and {len(group) - 1:,} more", reason, group))
    if len(listed) > MAX_LEFT_OUT:
        rest = listed[MAX_LEFT_OUT - 1 :]
        listed[MAX_LEFT_OUT - 1 :] = [_merged(f"{rest[0].path} and {len(rest) - 1:,} more", "other rules", rest)]
    return tuple(listed)


def entry(path: str, reason: str, *, files: int = 1, size_bytes: int = 0) -> LeftOut:
    """Return an entry of the list, with texts that a terminal and JSON can show."""
    return LeftOut(path=_shown(path), reason=_shown(reason), files=files, size_bytes=size_bytes)


def _merged(path: str, reason: str, group: Sequence[LeftOut]) -> LeftOut:
    return entry(
        path, reason, files=sum(item.files for item in group), size_bytes=sum(item.size_bytes for item in group)
    )


def _shown(text: str) -> str:
    return "".join(item if item.isprintable() else "?" for item in text[:MAX_TEXT_CHARS])


def _rules(line: str, reason: str) -> Iterator[Rule]:
    text = line.strip()
    if not text or text.startswith("#"):
        return
    is_negated = text.startswith("!")
    text = text.removeprefix("!")
    is_folder = text.endswith("/")
    text = text.rstrip("/")
    is_anchored = "/" in text.removeprefix("**/")
    pattern = text.removeprefix("/") if is_anchored else text.removeprefix("**/")
    if pattern:
        yield Rule(pattern, is_negated, is_folder, is_anchored, reason)


def _fits_parts(parts: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern == ["**"]:
        return bool(parts)  # what is in the folder, and not the folder: a later rule may take some of it back
    if pattern[0] == "**":
        return any(_fits_parts(parts[skip:], pattern[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits_parts(parts[1:], pattern[1:])
