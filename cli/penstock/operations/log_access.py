"""Access to the event log without the server: for users with the services' credentials of NATS."""

import os
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from penstock.client import instance_record
from penstock.terminal.exit_codes import Exit, Stop
from penstock_jetstream.settings import NatsSettings, ServiceSettings
from penstock_runtime.logs import configure_logs
from penstock_runtime.settings import BadSettings, LogLevel, read_settings

REACH_S: Final = 1.0
"""How long a NATS server of the environment may take to be reached: nobody keeps it running for this command."""


def log_settings(state: Path | None, name: str) -> NatsSettings:
    """Return how the command `name` connects to the log: of `penstock up`, else of the environment.

    Raises:
        Stop: no Penstock runs on `state`, or the environment is wrong.

    """
    here = instance_record.find(state or instance_record.default_state(os.environ))
    if here is not None:
        return NatsSettings(url=here.nats_url, name=name)
    if state is not None:
        raise Stop(f"no Penstock runs on {state}: start it with 'penstock up --state {state}'", Exit.UNREACHABLE)
    try:
        settings = read_settings(ServiceSettings, os.environ)
    except BadSettings as error:
        raise Stop(str(error), Exit.USAGE) from error
    # How large the log may be and how often it is kept is not for a command to change.
    return replace(settings.nats(name), replicas=None, events_max_bytes=None, reach_s=REACH_S)


def quiet_logs(name: str) -> None:
    """Let the command's own errors report what failed on the way to the log."""
    configure_logs(LogLevel.ERROR, service=name)
