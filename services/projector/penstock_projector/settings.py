"""The settings of a projector, read from the environment."""

from penstock_jetstream.settings import ServiceSettings
from penstock_runtime.settings import LogLevel, LogLevelSetting


class ProjectorSettings(ServiceSettings, frozen=True, kw_only=True):
    """The settings of one projector."""

    log_level: LogLevelSetting = LogLevel.INFO
