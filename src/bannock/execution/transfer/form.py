"""Files of an HTML form, as they come: ``multipart/form-data`` (RFC 7578), without keeping any of it.

Pure; memory is bounded by what is fed at once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["Begin", "Content", "End", "FormFiles"]

_BOUNDARY: Final = re.compile(r"multipart/form-data;.*?\bboundary=\"?([^\"\s;,]{1,70})\"?", re.IGNORECASE)
_FILENAME: Final = re.compile(
    rb"^content-disposition:[^\r\n]*;\s*filename=\"([^\"\r\n]*)\"", re.IGNORECASE | re.MULTILINE
)
_HEAD_BYTES_MAX: Final = 8 << 10
_HEAD_END: Final = b"\r\n\r\n"


class Begin(NamedTuple):
    """A file begins."""

    name: str


class Content(NamedTuple):
    """The next bytes of the file."""

    data: bytes


class End(NamedTuple):
    """The file is whole."""


Event: TypeAlias = Begin | Content | End


class FormFiles:
    """The reader of one form.

    Args:
        content_type: of the request.

    Raises:
        InputError: it is no form with files.
    """

    def __init__(self, content_type: str) -> None:
        if (found := _BOUNDARY.match(content_type)) is None:
            raise InputError("a form with files is multipart/form-data with a boundary")
        self._delimiter = b"\r\n--" + found[1].encode()
        # The first delimiter has no line before it that could end.
        self._data = bytearray(b"\r\n")
        self._in_head = self._in_file = self._ended = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take the next bytes of the body, and yield what they make known.

        Raises:
            InputError: this is not a form.
        """
        self._data += data
        while not self._ended:
            step = self._head() if self._in_head else self._content()
            if not (yield from step):
                return

    def finish(self) -> None:
        """Learn that the body has ended.

        Raises:
            InputError: it ended too early.
        """
        if not self._ended:
            raise InputError("the form ends before its end")

    def _head(self) -> Generator[Event, None, bool]:
        """Read what a part says of itself; False: more has to come."""
        end = self._data.find(_HEAD_END)
        if end < 0:
            if len(self._data) > _HEAD_BYTES_MAX:
                raise InputError("a form has a header that does not end")
            return False
        found = _FILENAME.search(self._data, 0, end)
        name = None if found is None else bytes(found[1]).decode("utf-8", "replace")
        del self._data[: end + len(_HEAD_END)]
        self._in_head = False
        if name is not None:
            self._in_file = True
            yield Begin(name)
        return True

    def _content(self) -> Generator[Event, None, bool]:
        """Give out content, as far as it cannot be the delimiter; False: more has to come."""
        at = self._data.find(self._delimiter)
        follows = at + len(self._delimiter)
        # What cannot be the begin of a delimiter any more.
        known = at if at >= 0 else max(len(self._data) - len(self._delimiter) + 1, 0)
        if self._in_file and known:
            yield Content(bytes(self._data[:known]))
        if at < 0 or len(self._data) < follows + 2:
            del self._data[:known]
            return False
        if self._in_file:
            yield End()
            self._in_file = False
        tail = bytes(self._data[follows : follows + 2])
        if tail == b"--":
            self._ended = True
        elif tail != b"\r\n":
            raise InputError("a form has a delimiter that is none")
        # The end of this line stays, so that a head without a line is found to be one.
        del self._data[:follows]
        self._in_head = True
        return True
