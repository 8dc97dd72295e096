"""Ports of this machine: whether one is free, and which."""

import errno
import socket

from penstock.terminal.exit_codes import Exit, Stop


def claim(host: str, port: int) -> int:
    """Return a port that can be listened on: `port`, or any free one when it is 0.

    Raises:
        Stop: it is taken, or the host is none of this machine's; with what to do.

    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise Stop(f"--host {host} is no address of this machine: {error.strerror}", Exit.USAGE) from error
    except UnicodeError as error:
        raise Stop(f"--host {host} is no address of this machine: it is no name of a host", Exit.USAGE) from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise Stop(_why(host, port, error), Exit.USAGE) from error
        return int(probe.getsockname()[1])


def _why(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} is taken: stop what listens there, or give --port (0 takes any free one)"
        case errno.EACCES:
            return f"port {port} needs more rights: give --port with a number from 1024 to 65535"
        case errno.EADDRNOTAVAIL:
            return (
                f"--host {host} is no address of this machine: 127.0.0.1 is reached from here alone, 0.0.0.0 from all"
            )
        case _:
            return f"cannot listen on {host} port {port}: {error.strerror}"
