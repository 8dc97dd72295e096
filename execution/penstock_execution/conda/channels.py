"""The channels that an operator allows, by the names and addresses that environment files use for them."""

import re
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from penstock_execution.provisioning import ProvisionFailed
from penstock_schemas.patterns import END

PUBLIC: Final = "https://conda.anaconda.org/"
"""Below it are the channels that have a name and no address."""
CHANNEL_PATTERN: Final = (
    rf"^(?:[A-Za-z0-9][A-Za-z0-9._/-]*|(?:[A-Za-z0-9][A-Za-z0-9._/-]*=)?(?:https?|file)://[^\s,=]+){END}"
)
SETTING: Final = "PENSTOCK_CONDA_CHANNELS"
_PLATFORM: Final = re.compile(r"/(?:noarch|linux-[a-z0-9]+)\Z")
_SCHEME: Final = re.compile(r"[a-z]+://")


class Channel(Struct, frozen=True):
    """One allowed channel."""

    name: str
    """As environment files write it."""
    url: str
    """Where its packages are fetched from, without a final `/`: the channel itself or a mirror."""


class Channels(Struct, frozen=True):
    """All allowed channels."""

    allowed: tuple[Channel, ...] = ()

    def resolve(self, written: str) -> Channel:
        """Return the channel that an environment file names.

        Raises:
            ProvisionFailed: the operator does not allow it.

        """
        wanted = _plain(written)
        for channel in self.allowed:
            if wanted in (channel.name, channel.url) or wanted == PUBLIC + channel.name:
                return channel
        if self.allowed:
            known = f"allowed are {', '.join(channel.name for channel in self.allowed)}"
        else:
            known = "no channel is allowed"
        raise ProvisionFailed(
            f"the channel {written[:200]!r} is not allowed here: {known}; the operator sets {SETTING}"
        )

    @property
    def folders(self) -> tuple[str, ...]:
        """The channels that are folders of this machine."""
        return tuple(urlsplit(channel.url).path for channel in self.allowed if channel.url.startswith("file://"))


def parse_channels(settings: tuple[str, ...]) -> Channels:
    """Return the channels of a setting: `name`, `name=address` for a mirror, or an address."""
    return Channels(tuple(_channel(setting) for setting in settings))


def _channel(setting: str) -> Channel:
    name, has_url, url = setting.partition("=")
    if has_url:
        return Channel(name.rstrip("/"), _plain(url))
    if _SCHEME.match(name):
        return Channel(_plain(name), _plain(name))
    return Channel(name.rstrip("/"), PUBLIC + name.rstrip("/"))


def _plain(written: str) -> str:
    return _PLATFORM.sub("", written.strip().rstrip("/"))
