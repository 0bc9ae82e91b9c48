"""The manifest of an enclave: what has to be measured, said by whoever starts it. Pure.

It is no evidence: who measures reads the files itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import InputError
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EnclaveManifest", "normal_settings"]

_MAX_BYTES: Final = 256 << 10
_MAX_PATHS: Final = 4096
_DEFAULTS: Final = {
    "SCONE_HEAP": "64M",
    "SCONE_STACK": "2M",
    "SCONE_ALLOW_DLOPEN": "0",
    "SCONE_MPROTECT": "0",
    "SCONE_FORK": "0",
}
_SIZES: Final = ("SCONE_HEAP", "SCONE_STACK")
_SIZE: Final = re.compile(r"(\d{1,15})([KMG]?)")
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_VALUE: Final = re.compile(r"[\x21-\x7e]{1,64}")


def normal_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return every measured setting, given or by default; sizes in bytes.

    Raises:
        InputError: a name is not a measured setting, or a value is malformed.
    """
    if unknown := set(given) - set(_DEFAULTS):
        raise InputError(f"{min(unknown)} is not a setting of an enclave; there are {', '.join(_DEFAULTS)}")
    settings = {}
    for name, value in (_DEFAULTS | dict(given)).items():
        if name in _SIZES:
            match = _SIZE.fullmatch(value)
            if match is None:
                raise InputError(f"{name} is a number of bytes with an optional K, M or G, found {value[:40]!r}")
            settings[name] = str(int(match[1]) * _UNITS[match[2]])
        elif _VALUE.fullmatch(value):
            settings[name] = value
        else:
            raise InputError(f"{name} is malformed: {value[:40]!r}")
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveManifest:
    """What to measure.

    Attributes:
        binary: path of the program in the enclave.
        paths: further files.
        settings: what the host set of the measured settings; the others have their defaults.
    """

    binary: str
    paths: tuple[str, ...] = ()
    settings: Mapping[str, str]

    def __post_init__(self) -> None:
        if len(self.paths) > _MAX_PATHS:
            raise InputError(f"a manifest names at most {_MAX_PATHS} files, found {len(self.paths)}")
        for path in (self.binary, *self.paths):
            if not path.startswith("/") or "\0" in path:
                raise InputError(f"a manifest names files by absolute paths, found {path[:80]!r}")
        normal_settings(self.settings)

    def to_json(self) -> bytes:
        """Return the canonical form."""
        return canonical_json({"binary": self.binary, "paths": list(self.paths), "settings": dict(self.settings)})

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse a manifest.

        Raises:
            InputError: it is anything but what :meth:`to_json` gives.
        """
        if len(data) > _MAX_BYTES:
            raise InputError(f"a manifest has at most {_MAX_BYTES} bytes, found {len(data)}")
        try:
            fields = json.loads(data)
            manifest = cls(
                binary=fields["binary"],
                paths=tuple(fields["paths"]),
                settings={str(name): str(value) for name, value in fields["settings"].items()},
            )
            same = manifest.to_json() == data
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError("the manifest is malformed") from error
        if not same:
            raise InputError("the manifest is not in its canonical form")
        return manifest
