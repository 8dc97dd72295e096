"""Who has a password at present: the users of the settings, and those of a file that is read again when it changes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from penstock_gateway.authentication.users import BadUser, User, parse_users, split_file, split_list
from penstock_runtime.runtime import SYSTEM
from penstock_runtime.setting_files import read_setting_file

YOUNG_S: Final = 2.0
"""A file that was written so recently is read at every look: another write may have left it the same time and size."""

_Mark = tuple[int, int, int, int]
log = structlog.get_logger()


def _unix_time() -> float:
    return SYSTEM.now().timestamp()


class UserList:
    """The users with passwords.

    The file is checked at every request, so that a user who was removed from it has no access any more. That is
    one `stat` of a local file, some microseconds, in the event loop. A new file that is wrong, empty or not there any
    more is reported in the log, and the last valid users stay: a typing error must not lock everybody out.

    Args:
        listed: users with commas between, as the settings have them.
        path: a file of further users.
        wall_clock: the time of files, in seconds.

    Raises:
        BadUser: an entry is wrong, the file cannot be read, or there is no user.

    """

    def __init__(self, listed: str, path: Path | None = None, *, wall_clock: Callable[[], float] = _unix_time) -> None:
        self._listed = split_list(listed)
        self._path = path
        self._wall_clock = wall_clock
        self._mark: _Mark | None = None
        self._is_young = False
        self._text: str | None = None
        """What the file held when it was right last."""
        self._wrong: str | None = None
        """What is wrong with it now, so that it is reported once."""
        if path is not None:
            self._mark, self._text = _mark_of(path), _read(path)
            self._is_young = self._wrote_just_now()
        self._users = self._parse(self._text or "")

    def now(self) -> Mapping[str, User]:
        """Return the users by name."""
        if self._path is not None:
            self._look(self._path)
        return self._users

    def _look(self, path: Path) -> None:
        mark = _mark_of(path)
        if mark == self._mark and not self._is_young:
            return
        self._mark = mark
        self._is_young = self._wrote_just_now()
        try:
            text = _read(path)
            users = self._users if text == self._text else self._parse(text)
        except BadUser as error:
            if str(error) != self._wrong:
                self._wrong = str(error)
                log.error("users_not_read", reason=self._wrong, file=str(path), kept=len(self._users))  # noqa: TRY400
            return
        if users is not self._users or self._wrong is not None:
            log.info("users_read", file=str(path), count=len(users))
        self._users, self._text, self._wrong = users, text, None

    def _parse(self, text: str) -> Mapping[str, User]:
        users = parse_users((*self._listed, *split_file(text)))
        if not users:
            raise BadUser("no user is defined")
        return users

    def _wrote_just_now(self) -> bool:
        return self._mark is not None and abs(self._wall_clock() - self._mark[0] / 1e9) < YOUNG_S


def _mark_of(path: Path) -> _Mark | None:
    """Return what changes when a file changes; `None` when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _read(path: Path) -> str:
    try:
        return read_setting_file(path).decode()
    except OSError as error:
        raise BadUser(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadUser(f"{path} cannot be read: {error}") from None
