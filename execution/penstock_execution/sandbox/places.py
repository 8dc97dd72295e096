"""The places of a machine that every workflow needs, and those that none should read."""

import os
import pwd
import site
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store", "/gnu/store"),
    *("/proc", "/sys"),
    # What /etc/resolv.conf and /etc/localtime may be links to.
    *("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/var/lib/locales", "/var/cache/fontconfig"),
)
"""Programs, libraries and their settings. In `/proc` the kernel shows of other processes what `ps` shows, no more."""
DEVICES: Final = (
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"),
    *("/dev/dri", "/dev/kfd", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset"),
    *(f"/dev/nvidia{number}" for number in range(16)),
)
"""No terminals: a process that opens one can read what is typed there and print as if it were another program."""
SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - a place that workflows write to, not this program
SECRET: Final = (
    *("/dev", "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d"),
    *(f"/etc/ssh/ssh_host_{kind}_key" for kind in ("rsa", "dsa", "ecdsa", "ed25519")),
    *("/etc/ssl/private", "/etc/krb5.keytab", "/etc/penstock", "/run/secrets", "/run/credentials"),
    "/var/run/secrets",
)
SECRET_OF_USER: Final = (
    *(".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".netrc", ".pgpass", ".pypirc", ".git-credentials"),
    *(".config/gcloud", ".config/gh", ".config/rclone", ".config/penstock", ".local/share/keyrings", ".vault-token"),
    *(".mozilla", ".config/google-chrome", ".config/chromium", ".bash_history", ".zsh_history", ".password-store"),
)
"""Below the home of the runner's user."""
_ENVIRONMENT_MARKS: Final = ("conda-meta", "pyvenv.cfg")
"""What is in the root of an environment whose programs are in `bin`."""
_SHIMS: Final = "shims"
"""The folder of pyenv and its like, whose programs call others beside it."""


def software(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return where programs and libraries are: the system's, those of this Python and of an environment."""
    return existing([*SYSTEM, *_of_python(), *_of_environment(environment)])


def devices() -> tuple[str, ...]:
    """Return the devices that any program may use: this machine's among those that are known to be harmless."""
    return existing([*DEVICES])


def secrets(home: Path | None) -> tuple[str, ...]:
    """Return what no workflow reads, though it may read the folder around it: as far as this user could read it."""
    of_system = [item for item in SECRET if os.access(item, os.R_OK)]
    return resolved([*of_system, *(str(home / item) for item in SECRET_OF_USER if home is not None)])


def own_code() -> tuple[str, ...]:
    """Return where this Python loads its programs and plug-ins from: code there runs in the runner itself.

    That includes the user's own packages, which Python looks for at its next start even where there are none yet.
    """
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    of_user = Path(".local/lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
    in_environment = [sys.prefix] if sys.prefix != sys.base_prefix else []
    loaded = [item for item in sys.path if Path(item).is_absolute()]
    return resolved(
        [
            *(*in_environment, *loaded, *site.getsitepackages(), site.getusersitepackages(), str(home / of_user)),
            str(Path(sys.executable).parent),
        ]
    )


def resolved(paths: list[str]) -> tuple[str, ...]:
    """Return where paths lead to, each once."""
    return tuple(dict.fromkeys(os.path.realpath(path) for path in paths))


def existing(paths: list[str]) -> tuple[str, ...]:
    """Return where the paths lead to that exist."""
    return resolved([path for path in paths if Path(path).exists()])


def _of_python() -> Iterator[str]:
    yield from (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    yield str(Path(os.path.realpath(sys.executable)).parent)
    yield from (item for item in sys.path if Path(item).is_absolute())


def _of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH"):
        yield from (part for part in environment.get(name, "").split(os.pathsep) if Path(part).is_absolute())
    for part in environment.get("PATH", "").split(os.pathsep):
        folder = Path(part)
        if folder.is_absolute():
            yield part
            if folder.name == _SHIMS or any((folder.parent / mark).exists() for mark in _ENVIRONMENT_MARKS):
                yield str(folder.parent)
