"""Start a gateway: `python -m penstock_gateway`, configured by its environment.

Exit codes: 0 stopped by a signal, 1 cannot work (the reason is in one line), 2 wrong settings.
"""

import os
import socket
import sys
from typing import Final, NoReturn

import anyio
import structlog

from penstock_domain.engines.registry import InvalidEngines
from penstock_gateway.http.request_log import RequestLog
from penstock_gateway.http.server import PortTaken, Server, listen, make_server, stop_on_signal, url_of
from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wiring.access import access_mistakes, exposure
from penstock_gateway.wiring.foundation import OWN_FILES
from penstock_gateway.wiring.gateway import Gateway, build_gateway
from penstock_gateway.wiring.settings_checks import connection_limits, mistakes, with_other_names
from penstock_jetstream import connect
from penstock_jetstream.adapters.blobs import open_blobs
from penstock_ports import PortError
from penstock_runtime.background import described
from penstock_runtime.engine_plugins import installed_engines, unusable_engines
from penstock_runtime.folders.private_folders import create_files_privately
from penstock_runtime.folders.state_folder import StateFolderTaken, hold
from penstock_runtime.liveness import Liveness, reported
from penstock_runtime.logs import configure_logs
from penstock_runtime.settings import BadSettings, UnusableSetting, read_settings, without_effect

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 2

log = structlog.get_logger()


async def serve(settings: GatewaySettings, stopping: anyio.Event | None = None) -> None:
    """Serve until `stopping` is set or a signal comes; then finish what is being answered.

    Raises:
        PortTaken: the address cannot be listened on.
        Exposed: other machines reach it, and there is no authentication.
        PortError: there is no usable NATS server.
        StateFolderTaken: another gateway uses the state folder.
        UnusableSetting: the address, the state folder, the blob store or the NATS server cannot be used as it is set.

    """
    stopping = stopping or anyio.Event()
    async with reported(Liveness(), settings.liveness_listen):
        await _serve(settings, stopping)
    log.info("stopped")


async def _serve(settings: GatewaySettings, stopping: anyio.Event) -> None:
    with listen(settings.host, settings.port) as listening, hold(settings.state_dir, "gateway", own=OWN_FILES):
        check_exposure(settings, listening)
        async with connect(settings.nats("penstock-gateway")) as cluster:
            gateway = build_gateway(settings, cluster, open_blobs(settings.blobs))
            server = make_server(
                RequestLog(gateway.app), graceful_s=settings.graceful_s, limits=connection_limits(settings)
            )
            async with anyio.create_task_group() as group:
                group.start_soon(gateway.run)
                group.start_soon(stop_on_signal, server, stopping)
                group.start_soon(_stop, gateway, server, stopping)
                log.info("ready", url=url_of(listening))
                await server.serve([listening])
                group.cancel_scope.cancel()
            gateway.close()


def check_exposure(settings: GatewaySettings, listening: socket.socket) -> None:
    """Check the address that a name turned out to be, before anybody is answered there.

    Raises:
        Exposed: other machines reach it, and there is no authentication.

    """
    for mistake in exposure(settings, str(listening.getsockname()[0])):
        raise Exposed(mistake)


class Exposed(Exception):
    """Other machines reach the address that the gateway listens on, and there is no authentication."""


def main() -> None:
    """Serve until a signal ends it."""
    create_files_privately()
    try:
        os.environ.update(with_other_names(os.environ))  # the S3 client reads its region there
        settings = read_settings(GatewaySettings, os.environ)
        installed_engines()  # that no engine can be used is reported before anything else is done
    except (BadSettings, InvalidEngines) as error:
        _exit(EXIT_SETTINGS, str(error))
    wrong = (*mistakes(settings), *access_mistakes(settings))
    if wrong:
        _exit(EXIT_SETTINGS, "\n".join(wrong))
    configure_logs(settings.log_level, service="gateway")
    for sentence in without_effect(os.environ):
        log.warning("setting_without_effect", reason=sentence)
    for engine in unusable_engines():
        log.error("engine_plugin_not_used", plugin=engine.plugin, reason=engine.reason)
    try:
        anyio.run(serve, settings, backend_options={"use_uvloop": True})
    except (Exposed, UnusableSetting) as error:
        _exit(EXIT_SETTINGS, f"penstock gateway: {error}")
    except (PortTaken, PortError, StateFolderTaken) as error:
        _exit(EXIT_FAILED, f"penstock gateway: {error}")
    except Exception as error:  # the boundary of the process
        log.exception("ended_by_a_fault", reason=described(error))
        raise SystemExit(EXIT_FAILED) from None


async def _stop(gateway: Gateway, server: Server, stopping: anyio.Event) -> None:
    await stopping.wait()
    gateway.drain()
    server.should_exit = True


def _exit(code: int, text: str) -> NoReturn:
    sys.stderr.write(text + "\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
