"""Reading binary structures, one field after the other, and never beyond what is there. Pure."""

from __future__ import annotations

from typing import Literal

from bannock.errors import EvidenceError

__all__ = ["Reader"]


class Reader:
    """Reads the fields of one structure.

    Args:
        data: all of it.
        what: what it is, for messages.
        order: of the bytes of numbers: ``big`` in structures of the TPM, ``little`` in event logs.
    """

    def __init__(self, data: bytes, what: str, order: Literal["big", "little"] = "big") -> None:
        self._data = data
        self._what = what
        self._order: Literal["big", "little"] = order
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes were not read yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Read so many bytes.

        Raises:
            EvidenceError: there are not so many.
        """
        if count > self.left:
            raise EvidenceError(f"{self._what} is cut off: expected {count} bytes at {self._at}, found {self.left}")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        """Read a number of so many bytes."""
        return int.from_bytes(self.take(size), self._order)

    def sized(self, *, width: int = 2) -> bytes:
        """Read bytes that have their length in front of them."""
        return self.take(self.number(width))

    def end(self) -> None:
        """Say that nothing may be left.

        Raises:
            EvidenceError: there is more.
        """
        if self.left:
            raise EvidenceError(f"{self._what} has {self.left} bytes more than it may have")
