"""The engines that are installed beside the command line."""

from penstock.terminal.exit_codes import Exit, Stop
from penstock_domain.engines.registry import EngineRegistry, InvalidEngines
from penstock_runtime.engine_plugins import installed_engines


def known_engines() -> EngineRegistry:
    """Return the installed engines.

    Raises:
        Stop: a plug-in is invalid.

    """
    try:
        return installed_engines()
    except InvalidEngines as error:
        raise Stop(str(error), Exit.USAGE) from error
