"""The measurement tree: all that MRENCLAVE stands for, and what differs between two of them. Pure.

MRENCLAVE is the Merkle tree hash of RFC 9162, section 2.1.1 (SHA-256), over :meth:`MeasurementTree.leaves`
in order; ``docs/formats/measurement.md`` says the same for other implementations.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from bannock.errors import InputError
from bannock.policy.canonical import JsonValue, canonical_json
from bannock.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MeasuredFile", "MeasurementTree", "difference"]

FORMAT: Final = "bannock-measurement-1"
_MAX_BYTES: Final = 8 << 20
_DIGEST_BYTES: Final = 32
#: Settings that are sizes, shown to people in units.
_SIZES: Final = ("SCONE_HEAP", "SCONE_STACK")
_UNITS: Final = (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10))


class MeasuredFile(NamedTuple):
    """SHA-256 and size of a file."""

    digest: bytes
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementTree:
    """What decides how an enclave starts.

    Attributes:
        runtime: SHA-256 over the runtime's build.
        files: canonical path in the enclave → content.
        settings: name → value, in their normal form.
    """

    runtime: bytes
    files: Mapping[str, MeasuredFile]
    settings: Mapping[str, str]

    def leaves(self) -> list[bytes]:
        """Return the leaves in canonical JSON (RFC 8785): runtime, files by path, settings by name."""
        leaves: list[JsonValue] = [["runtime", self.runtime.hex()]]
        leaves += [["file", path, file.digest.hex(), file.size] for path, file in sorted(self.files.items())]
        leaves += [["setting", name, value] for name, value in sorted(self.settings.items())]
        return [canonical_json(leaf) for leaf in leaves]

    @property
    def root(self) -> Measurement:
        """MRENCLAVE."""
        return Measurement(_merkle(self.leaves()))

    def to_json(self) -> bytes:
        """Return the tree in canonical JSON, to store beside the hash."""
        return canonical_json(
            {
                "format": FORMAT,
                "runtime": self.runtime.hex(),
                "files": {path: [file.digest.hex(), file.size] for path, file in self.files.items()},
                "settings": dict(self.settings),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse a tree.

        Raises:
            InputError: it is anything but what :meth:`to_json` gives.
        """
        if len(data) > _MAX_BYTES:
            raise InputError(f"a measurement tree has at most {_MAX_BYTES} bytes, found {len(data)}")
        try:
            fields = json.loads(data)
            tree = cls(
                runtime=bytes.fromhex(fields["runtime"]),
                files={
                    path: MeasuredFile(bytes.fromhex(digest), size) for path, (digest, size) in fields["files"].items()
                },
                settings={str(name): str(value) for name, value in fields["settings"].items()},
            )
            same = tree.to_json() == data
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError("the measurement tree is malformed") from error
        if not same:
            raise InputError("the measurement tree is not in its canonical form")
        return tree


def difference(expected: MeasurementTree, actual: MeasurementTree) -> list[str]:
    """Say what differs, a line each; nothing where the trees are equal."""
    lines = []
    if expected.runtime != actual.runtime:
        lines.append("the runtime is another build")
    for path in sorted(set(expected.files) | set(actual.files)):
        if path not in actual.files:
            lines.append(f"{path} is missing")
        elif path not in expected.files:
            lines.append(f"{path} was added")
        elif expected.files[path] != actual.files[path]:
            lines.append(f"{path} changed")
    for name in sorted(set(expected.settings) | set(actual.settings)):
        wanted, found = expected.settings.get(name), actual.settings.get(name)
        if wanted != found:
            lines.append(f"{name} {_human(name, found)}, expected {_human(name, wanted)}")
    return lines


def _human(name: str, value: str | None) -> str:
    if value is None:
        return "is not set"
    if name in _SIZES and value.isdigit():
        for unit, size in _UNITS:
            if int(value) >= size and int(value) % size == 0:
                return f"{int(value) // size}{unit}"
    return value


def _merkle(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + _merkle(leaves[:split]) + _merkle(leaves[split:])).digest()
