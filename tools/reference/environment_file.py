"""`.env.example`: every setting of every service as a file of variables, each with its default and commented out."""

import shlex
from typing import Final

from penstock_runtime.engine_plugins import installed_engines, settings_prefix
from penstock_runtime.settings import SettingRow, describe
from tools.reference.configuration import SERVICES

INTRODUCTION: Final = """\
# Every setting of Penstock's services. Generated from the settings of each service by `make docs`.
#
# Copy it to .env, remove the `# ` before what you change, and start a service with it:
#
#     set -a; . ./.env; set +a
#     penstock gateway
#
# or name it as EnvironmentFile= of a systemd unit. Services read their environment alone, never this file. What each
# value means is in docs/reference/configuration.md too, with the names of other WES servers that work as well:
# STORAGE_BACKEND, LOCAL_STORAGE_PATH, S3_BUCKET_NAME, S3_REGION, DAEMON_MAX_CONCURRENT_RUNS and more.
"""


def page() -> str:
    """Return the file."""
    described = {title: describe(shape) for title, _, shape in SERVICES}
    shared = [row for row in described["Gateway"] if all(row in rows for rows in described.values())]
    sections = {"Every service": shared} | {
        f"{title}: {command}": [row for row in described[title] if row not in shared] for title, command, _ in SERVICES
    }
    sections |= {
        f"Runners with {engine.title}": list(describe(engine.settings, prefix=settings_prefix(engine.name)))
        for engine in installed_engines()
        if engine.settings is not None
    }
    return "\n".join([INTRODUCTION, *(_section(title, rows) for title, rows in sections.items())])


def _section(title: str, rows: list[SettingRow]) -> str:
    return "\n".join([f"# ---- {title}", "", *map(_entry, rows)])


def _entry(row: SettingRow) -> str:
    need = "; required" if row.default is None else ""
    value = shlex.quote(row.default) if row.default else ""
    return f"# {row.description} ({row.expected}{need})\n# {row.variable}={value}\n"
