"""The settings that decide how an enclave starts, and so are part of its measurement. Pure.

Names and meaning are those of the SCONE platform's environment variables. Each has one normal form, so that two
spellings of one setting are one measurement.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["normal_settings", "shown"]

_SIZES: Final = {"SCONE_HEAP": "64M", "SCONE_STACK": "2M"}
#: The values that a switch has. SCONE_ALLOW_DLOPEN: 1 loads authenticated libraries only, 2 any (for debugging).
_SWITCHES: Final = {"SCONE_ALLOW_DLOPEN": "012", "SCONE_MPROTECT": "01", "SCONE_FORK": "01"}
_WORDS: Final = {"no": "0", "yes": "1"}
_SIZE: Final = re.compile(r"([0-9]{1,15})([KMG]?)")
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def normal_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return every measured setting, given or by default: sizes in bytes, switches as digits.

    Raises:
        InputError: a name is not a measured setting, or a value is malformed.
    """
    defaults = _SIZES | dict.fromkeys(_SWITCHES, "0")
    if unknown := given.keys() - defaults.keys():
        raise InputError(f"{min(unknown)[:80]} is not a setting of an enclave; there are {', '.join(defaults)}")
    return {name: _normal(name, value) for name, value in (defaults | dict(given)).items()}


def shown(name: str, value: str) -> str:
    """Return a setting in the form that people write."""
    if not value:
        return "not set"
    if name in _SIZES and _SIZE.fullmatch(value):
        for unit, size in reversed(_UNITS.items()):
            if int(value) >= size and int(value) % size == 0:
                return f"{int(value) // size}{unit}"
    return value


def _normal(name: str, value: str) -> str:
    if name in _SIZES:
        size = _SIZE.fullmatch(value)
        if size is None:
            raise InputError(f"{name} is a number of bytes with an optional K, M or G, found {value[:40]!r}")
        return str(int(size[1]) * _UNITS[size[2]])
    digit = _WORDS.get(value, value)
    if len(digit) != 1 or digit not in _SWITCHES[name]:
        allowed = [*_SWITCHES[name], *_WORDS]
        raise InputError(f"{name} is one of {', '.join(allowed)}, found {value[:40]!r}")
    return digit
