"""Quantities of Kubernetes: amounts of memory and of processors. Pure."""

from __future__ import annotations

import re
from typing import Final

from bannock.errors import InputError

__all__ = ["billionths_of", "bytes_of"]

_FORM: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([A-Za-z]{0,2})")
_UNITS: Final = {
    "m": 0.001, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
}  # fmt: skip


def bytes_of(text: str, where: str) -> int:
    """Return how many bytes a text like ``1.5Gi`` is.

    Raises:
        InputError: it is no quantity.
    """
    return int(_amount(text, where))


def billionths_of(text: str, where: str) -> int:
    """Return how many billionths a text like ``250m`` is.

    Raises:
        InputError: it is no quantity.
    """
    return int(_amount(text, where) * 1e9)


def _amount(text: str, where: str) -> float:
    found = _FORM.fullmatch(text)
    if found is None or found[2] not in _UNITS:
        raise InputError(f"{where}: {text[:40]!r} is no quantity", hint="write a number, and Ki, Mi, Gi, … or m")
    return float(found[1]) * _UNITS[found[2]]
