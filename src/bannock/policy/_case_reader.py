"""Reading mappings of a small format: typed values out, and every issue at its place.

Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from bannock.errors import InputError
from bannock.policy._document import Mapping, Node, Scalar, Sequence
from bannock.policy._issues import found, issue_at, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from bannock.errors import Issue

__all__ = ["Reader", "number_up_to"]

_Value = TypeVar("_Value")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


class Reader:
    """One mapping; what is wrong in it is added to :attr:`issues`, which readers of nested mappings share."""

    def __init__(
        self, node: Node | None, path: str, known: Collection[str], issues: list[Issue] | None = None
    ) -> None:
        self.issues: list[Issue] = [] if issues is None else issues
        self._mapping = node if isinstance(node, Mapping) else Mapping(line=0, column=0)
        self._path = path
        if node is not None and not isinstance(node, Mapping):
            self.issues.append(issue_at(node, path, f"expected a mapping, found {found(node)}"))
        for key, _ in self._mapping.pairs:
            if key.text not in known:
                message = f"unknown key {key.source[:60]!r}, allowed: {', '.join(sorted(known))}"
                self.issues.append(issue_at(key, self._below(key.text), message, nearest(key.text, known)))

    @property
    def line(self) -> int:
        """Where the mapping begins."""
        return self._mapping.line

    def has(self, key: str) -> bool:
        """Whether the mapping has a key."""
        return self._mapping.get(key) is not None

    def is_mapping(self, key: str) -> bool:
        """Whether what is at a key is a mapping itself."""
        return isinstance(self._mapping.get(key), Mapping)

    def require_only(self, keys: Collection[str]) -> None:
        """Accept some of the known keys alone."""
        for key, _ in self._mapping.pairs:
            if key.text not in keys:
                self.issues.append(issue_at(key, self._below(key.text), "the key does not go with the others here"))

    def add(self, key: str, message: str) -> None:
        """Add an issue at a key, or at the mapping where it is not there."""
        node = self._mapping.get(key) or self._mapping
        self.issues.append(issue_at(node, self._below(key) if key else self._path, message))

    def nested(self, node: Node, path: str, known: Collection[str]) -> Reader:
        """Read a mapping that is part of this one."""
        return Reader(node, path, known, self.issues)

    def below(self, key: str, known: Collection[str]) -> Reader:
        """Read the mapping at a key; an empty one if there is none."""
        return Reader(self._mapping.get(key), self._below(key), known, self.issues)

    def read(self, key: str, parse: Callable[[str], _Value]) -> _Value | None:
        """Parse the text at a key; None if there is none, or it is wrong."""
        node = self._mapping.get(key)
        return None if node is None else self._parsed(node, self._below(key), parse)

    def word(self, key: str, allowed: Collection[str], *, required: bool = False) -> str | None:
        """Give the word at a key, one of those that are allowed."""
        if required and not self.has(key):
            self.add("", f"{key} is missing")
        return self.read(key, lambda text: _one_of(text, allowed))

    def words(self, key: str, allowed: Collection[str] | None) -> list[str]:
        """Give the list of words at a key; one word is a list of one."""
        return self.each(key, str if allowed is None else lambda text: _one_of(text, allowed))

    def each(self, key: str, parse: Callable[[str], _Value]) -> list[_Value]:
        """Parse each text of the list at a key."""
        node = self._mapping.get(key)
        if node is None:
            return []
        path = self._below(key)
        items = node.items if isinstance(node, Sequence) else [node]
        values = [self._parsed(item, f"{path}[{index}]", parse) for index, item in enumerate(items)]
        return [value for value in values if value is not None]

    def texts(self, key: str) -> dict[str, str]:
        """Give the names and texts of the mapping at a key."""
        node = self._mapping.get(key)
        if not isinstance(node, Mapping):
            if node is not None:
                self.add(key, f"expected names and values, found {found(node)}")
            return {}
        values = {name.text: self._parsed(value, f"{self._below(key)}.{name.text}", str) for name, value in node.pairs}
        return {name: value for name, value in values.items() if value is not None}

    def _parsed(self, node: Node, path: str, parse: Callable[[str], _Value]) -> _Value | None:
        if not isinstance(node, Scalar):
            self.issues.append(issue_at(node, path, f"expected text, found {found(node)}"))
            return None
        try:
            return parse(node.text)
        except InputError as error:
            self.issues.append(issue_at(node, path, error.message, error.hint))
            return None

    def _below(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def number_up_to(largest: int) -> Callable[[str], int]:
    """Give a parser of whole numbers."""

    def parse(text: str) -> int:
        if not _NUMBER.fullmatch(text) or int(text) > largest:
            raise InputError(f"expected a number from 0 to {largest}, found {text[:40]!r}")
        return int(text)

    return parse


def _one_of(text: str, allowed: Collection[str]) -> str:
    if text not in allowed:
        raise InputError(
            f"expected one of {', '.join(sorted(allowed))}, found {text[:60]!r}", hint=nearest(text, allowed)
        )
    return text
