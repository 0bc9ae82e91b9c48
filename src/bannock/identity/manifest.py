"""The manifest of an enclave: what has to be measured, said by whoever starts it. Pure.

It is no evidence: who measures reads the files itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import InputError
from bannock.identity.settings import normal_settings
from bannock.identity.sigstruct import SIGSTRUCT_BYTES
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EnclaveManifest"]

_MAX_BYTES: Final = 256 << 10
_MAX_PATHS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveManifest:
    """What to measure.

    Attributes:
        binary: path of the program in the enclave.
        paths: further files.
        settings: what the host set of the measured settings; the others have their defaults.
        sigstruct: a SIGSTRUCT (:class:`~bannock.identity.sigstruct.SigStruct`) by which somebody vouches for it;
            empty if nobody does.
    """

    binary: str
    paths: tuple[str, ...] = ()
    settings: Mapping[str, str]
    sigstruct: bytes = b""

    def __post_init__(self) -> None:
        if len(self.paths) > _MAX_PATHS:
            raise InputError(f"a manifest names at most {_MAX_PATHS} files, found {len(self.paths)}")
        for path in (self.binary, *self.paths):
            if not path.startswith("/") or "\0" in path:
                raise InputError(f"a manifest names files by absolute paths, found {path[:80]!r}")
        if len(self.sigstruct) not in (0, SIGSTRUCT_BYTES):
            raise InputError(f"a SIGSTRUCT has {SIGSTRUCT_BYTES} bytes, found {len(self.sigstruct)}")
        normal_settings(self.settings)

    def to_json(self) -> bytes:
        """Return the canonical form."""
        return canonical_json(
            {
                "binary": self.binary,
                "paths": list(self.paths),
                "settings": dict(self.settings),
                "sigstruct": self.sigstruct.hex(),
            }
        )

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
                sigstruct=bytes.fromhex(fields["sigstruct"]),
            )
            same = manifest.to_json() == data
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError("the manifest is malformed") from error
        if not same:
            raise InputError("the manifest is not in its canonical form")
        return manifest
