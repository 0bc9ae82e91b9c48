"""The measurement tree: all that MRENCLAVE stands for. Pure; :mod:`bannock.identity.difference` compares two of them.

MRENCLAVE is the Merkle tree hash of RFC 9162, section 2.1.1 (SHA-256), over :meth:`MeasurementTree.leaves`
in order; ``docs/formats/measurement.md`` says the same for other implementations.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from bannock.errors import InputError
from bannock.identity.image import Contents
from bannock.policy.canonical import JsonValue, canonical_json
from bannock.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["TREE_BYTES_MAX", "MeasuredFile", "MeasurementTree"]

FORMAT: Final = "bannock-measurement-2"
#: A file has about 150 bytes in it, a manifest with all that its program loads some thousand files, an image ten times
#: as many.
TREE_BYTES_MAX: Final = 12 << 20
_DIGEST_BYTES: Final = 32


class MeasuredFile(NamedTuple):
    """SHA-256 and size of a file."""

    digest: bytes
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementTree:
    """What decides how an enclave starts.

    Attributes:
        runtime: SHA-256 over the runtime's build.
        program: canonical path of what is started, which is one of the files.
        files: canonical path in the enclave → content.
        links: name under which a file is looked up, if it is not its canonical path → that path.
        images: canonical path of a file-system image → what is in it.
        settings: name → value, in their normal form.
    """

    runtime: bytes
    program: str
    files: Mapping[str, MeasuredFile]
    links: Mapping[str, str]
    settings: Mapping[str, str]
    images: Mapping[str, Contents] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for digest in (self.runtime, *(file.digest for file in self.files.values())):
            if len(digest) != _DIGEST_BYTES:
                raise InputError(f"a SHA-256 digest has {_DIGEST_BYTES} bytes, found {len(digest)}")
        for path, file in self.files.items():
            if type(file.size) is not int or file.size < 0:
                raise InputError(f"the size of {path[:80]!r} is a number of bytes, found {file.size!r}")
        if self.program not in self.files:
            raise InputError(f"the program {self.program[:80]!r} is not among the measured files")

    def leaves(self) -> list[bytes]:
        """Return the leaves in canonical JSON (RFC 8785); those of one kind in the order of their names."""
        leaves: list[JsonValue] = [["format", FORMAT], ["runtime", self.runtime.hex()], ["program", self.program]]
        leaves += [["file", path, file.digest.hex(), file.size] for path, file in sorted(self.files.items())]
        leaves += [["link", name, path] for name, path in sorted(self.links.items())]
        leaves += [["image", path, contents.digest.hex()] for path, contents in sorted(self.images.items())]
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
                "program": self.program,
                "files": {path: [file.digest.hex(), file.size] for path, file in self.files.items()},
                "links": dict(self.links),
                "images": {path: contents.to_document() for path, contents in self.images.items()},
                "settings": dict(self.settings),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse a tree.

        Raises:
            InputError: it is anything but what :meth:`to_json` gives.
        """
        if len(data) > TREE_BYTES_MAX:
            raise InputError(f"a measurement tree has at most {TREE_BYTES_MAX} bytes, found {len(data)}")
        try:
            fields = json.loads(data)
            tree = cls(
                runtime=bytes.fromhex(fields["runtime"]),
                program=fields["program"],
                files={
                    path: MeasuredFile(bytes.fromhex(digest), size) for path, (digest, size) in fields["files"].items()
                },
                links={name: str(path) for name, path in fields["links"].items()},
                images={path: Contents.from_document(image) for path, image in fields["images"].items()},
                settings={name: str(value) for name, value in fields["settings"].items()},
            )
            same = tree.to_json() == data
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError("the measurement tree is malformed") from error
        if not same:
            raise InputError("the measurement tree is not in its canonical form")
        return tree


def _merkle(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + _merkle(leaves[:split]) + _merkle(leaves[split:])).digest()
