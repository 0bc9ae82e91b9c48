"""Fields of JSON documents that strangers wrote: each is what it has to be, or an error names it.

What is null counts as missing, because the builders of images write either. Pure.
"""

from __future__ import annotations

import json
from typing import Any, Final

from bannock.errors import InputError

__all__ = ["Fields", "parse_list", "parse_object"]

#: Fields of a document may be many, a text in them is never longer than this: a registry takes 4 MiB.
_TEXT_CHARACTERS_MAX: Final = 4 << 20


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: it is anything else.
    """
    found = _parse(data, what)
    if not isinstance(found, dict):
        raise InputError(f"{what} is not a JSON object")
    return found


def parse_list(data: bytes, what: str) -> list[Any]:
    """Read a JSON list.

    Raises:
        InputError: it is anything else.
    """
    found = _parse(data, what)
    if not isinstance(found, list):
        raise InputError(f"{what} is not a JSON list")
    return found


def _parse(data: bytes, what: str) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is not a JSON document") from error


class Fields:
    """The fields of one object.

    Args:
        values: the object.
        what: what messages call it.
    """

    def __init__(self, values: object, what: str) -> None:
        if values is None:
            values = {}
        if not isinstance(values, dict):
            raise InputError(f"{what} is not a JSON object")
        self.values: dict[str, Any] = values
        self._what = what

    def text(self, name: str, default: str | None = "") -> str:
        """Return a text; without a default it has to be there."""
        found = self.values.get(name)
        if found is None and default is not None:
            return default
        if not isinstance(found, str) or len(found) > _TEXT_CHARACTERS_MAX:
            raise self._wrong(name, "a text")
        return found

    def size(self, name: str) -> int:
        """Return a count of bytes."""
        found = self.values.get(name)
        if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 1 << 63:
            raise self._wrong(name, "a number of bytes")
        return found

    def flag(self, name: str) -> bool:
        """Return a truth value; missing is false."""
        found = self.values.get(name)
        if found is not None and not isinstance(found, bool):
            raise self._wrong(name, "true or false")
        return bool(found)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; one text alone is a list of one (old builders wrote entry points so)."""
        found = self.values.get(name)
        if isinstance(found, str):
            return (found,)
        if not all(isinstance(item, str) for item in self.items(name)):
            raise self._wrong(name, "a list of texts")
        return tuple(found or ())

    def items(self, name: str) -> list[Any]:
        """Return a list of anything."""
        found = self.values.get(name)
        if found is not None and not isinstance(found, list):
            raise self._wrong(name, "a list")
        return found or []

    def names(self, name: str) -> tuple[str, ...]:
        """Return the names of an object whose values say nothing (how sets are written), sorted."""
        return tuple(sorted(Fields(self.values.get(name), f"{self._what}: {name}").values))

    def mapping(self, name: str) -> dict[str, str]:
        """Return an object of texts."""
        found = Fields(self.values.get(name), f"{self._what}: {name}").values
        if not all(isinstance(value, str) for value in found.values()):
            raise self._wrong(name, "an object of texts")
        return dict(found)

    def _wrong(self, name: str, expected: str) -> InputError:
        return InputError(f"{self._what}: {name} is not {expected}, found {json.dumps(self.values.get(name))[:80]}")
