"""Fields of rendered objects: what is asked for is of its type, and what nobody asked for is an error. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ObjectFields"]


class ObjectFields:
    """The fields of one mapping.

    Args:
        values: the mapping; None counts as an empty one.
        where: what messages call it.
    """

    def __init__(self, values: object, where: str) -> None:
        if values is None:
            values = {}
        if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
            raise InputError(f"{where} is not a mapping")
        self.where = where
        self._values: Mapping[str, Any] = values
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str, default: str | None = "") -> str:
        """Return a text; without a default it has to be there."""
        found = self._take(name)
        if found is None and default is not None:
            return default
        if not isinstance(found, str):
            raise self._wrong(name, "a text", found)
        return found

    def choice(self, name: str, *choices: str) -> str:
        """Return one of some texts, the first one where there is none."""
        found = self.text(name, choices[0])
        if found not in choices:
            raise InputError(f"{self.where}: {name} is {found[:80]!r}; here it can be {' or '.join(choices)}")
        return found

    def number(self, name: str, default: int | None = None) -> int | None:
        """Return a number that is not negative."""
        found = self._take(name)
        if found is None:
            return default
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise self._wrong(name, "a number", found)
        return found

    def count(self, name: str, default: int) -> int:
        """Return a number that is there in any case."""
        found = self.number(name, default)
        return default if found is None else found

    def flag(self, name: str) -> bool | None:
        """Return a truth value, None where there is none."""
        found = self._take(name)
        if found is not None and not isinstance(found, bool):
            raise self._wrong(name, "true or false", found)
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        found = self._list(name)
        if not all(isinstance(item, str) for item in found):
            raise self._wrong(name, "a list of texts", found)
        return tuple(found)

    def mapping(self, name: str) -> dict[str, str]:
        """Return a mapping of texts; numbers and truth values are written out."""
        found = ObjectFields(self._take(name), f"{self.where}: {name}")._values  # noqa: SLF001 - of this class
        if not all(isinstance(value, str | int | float) for value in found.values()):
            raise self._wrong(name, "a mapping of texts", found)
        return {key: value if isinstance(value, str) else str(value) for key, value in found.items()}

    def child(self, name: str) -> ObjectFields:
        """Return a mapping in this one; an empty one where there is none."""
        return ObjectFields(self._take(name), f"{self.where}: {name}")

    def children(self, name: str) -> Iterator[ObjectFields]:
        """Return the mappings of a list, each called by its name or number."""
        for number, item in enumerate(self._list(name)):
            called = item.get("name") if isinstance(item, dict) else None
            yield ObjectFields(item, f"{self.where}: {name} {called or number + 1}")

    def raw(self, name: str) -> Any:
        """Return whatever there is."""
        return self._take(name)

    def pass_over(self, *names: str) -> None:
        """Take note of fields that mean nothing on one machine."""
        self._taken.update(names)

    def done(self) -> None:
        """Refuse fields that nobody asked for.

        Raises:
            InputError: there are some.
        """
        left = [
            name for name, value in self._values.items() if name not in self._taken and value not in (None, {}, [])
        ]
        if left:
            raise InputError(
                f"{self.where}: {', '.join(left)[:400]} {'is' if len(left) == 1 else 'are'} not supported on the "
                "local engine",
                hint="what is, stands in docs/kubernetes.md; for the rest it takes a cluster: helm install",
            )

    def _take(self, name: str) -> Any:
        self._taken.add(name)
        return self._values.get(name)

    def _list(self, name: str) -> list[Any]:
        found = self._take(name)
        if found is None:
            return []
        if not isinstance(found, list):
            raise self._wrong(name, "a list", found)
        return found

    def _wrong(self, name: str, expected: str, found: object) -> InputError:
        return InputError(f"{self.where}: {name} is not {expected}, found {str(found)[:80]!r}")
