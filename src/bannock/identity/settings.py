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

__all__ = ["EXTENSIONS", "MEASURED", "image_paths", "normal_settings", "shown"]

#: File-system images, separated by colons: the setting that images are named by.
EXTENSIONS: Final = "SCONE_EXTENSIONS_PATH"

_SIZES: Final = {"SCONE_HEAP": "64M", "SCONE_MIN_HEAP": "8M", "SCONE_STACK": "2M"}
_NUMBERS: Final = {"SCONE_TCS": "8"}
#: The values that a switch has. SCONE_ALLOW_DLOPEN: 1 loads authenticated libraries only, 2 any (for debugging).
_SWITCHES: Final = {"SCONE_ALLOW_DLOPEN": "012", "SCONE_MPROTECT": "01", "SCONE_FORK": "01"}
_DEFAULTS: Final = {**_SIZES, **_NUMBERS, **dict.fromkeys(_SWITCHES, "0"), EXTENSIONS: ""}
#: Every setting that is measured.
MEASURED: Final = tuple(_DEFAULTS)
_WORDS: Final = {"no": "0", "yes": "1"}
_SIZE: Final = re.compile(r"([0-9]{1,15})([KMG]?)")
_NUMBER: Final = re.compile(r"0*([1-9][0-9]{0,4})")
_PATHS_MAX: Final = 16
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def normal_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return every measured setting, given or by default: sizes in bytes, switches as digits, no empty path.

    Raises:
        InputError: a name is not a measured setting, or a value is malformed.
    """
    if unknown := given.keys() - _DEFAULTS.keys():
        raise InputError(f"{min(unknown)[:80]} is not a setting of an enclave; there are {', '.join(_DEFAULTS)}")
    return {name: _normal(name, value) for name, value in (_DEFAULTS | dict(given)).items()}


def image_paths(settings: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths of the file-system images that settings in their normal form name, in order."""
    return tuple(path for path in settings.get(EXTENSIONS, "").split(":") if path)


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
    if name in _NUMBERS:
        number = _NUMBER.fullmatch(value)
        if number is None:
            raise InputError(f"{name} is a number from 1 to 99999, found {value[:40]!r}")
        return number[1]
    if name == EXTENSIONS:
        return _normal_paths(value)
    digit = _WORDS.get(value, value)
    if len(digit) != 1 or digit not in _SWITCHES[name]:
        allowed = [*_SWITCHES[name], *_WORDS]
        raise InputError(f"{name} is one of {', '.join(allowed)}, found {value[:40]!r}")
    return digit


def _normal_paths(value: str) -> str:
    paths = [path for path in value.split(":") if path]
    if len(paths) > _PATHS_MAX or len(set(paths)) != len(paths):
        raise InputError(f"{EXTENSIONS} names up to {_PATHS_MAX} files, each of them once, found {value[:80]!r}")
    for path in paths:
        if not path.startswith("/") or "\0" in path:
            raise InputError(f"{EXTENSIONS} names files by absolute paths, found {path[:80]!r}")
    return ":".join(paths)
