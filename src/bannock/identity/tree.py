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
from bannock.identity.settings import shown
from bannock.policy.canonical import JsonValue, canonical_json
from bannock.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["TREE_BYTES_MAX", "MeasuredFile", "MeasurementTree", "difference"]

FORMAT: Final = "bannock-measurement-1"
#: A file has about 150 bytes in it, and a manifest with all that its program loads some thousand files.
TREE_BYTES_MAX: Final = 8 << 20
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
        settings: name → value, in their normal form.
    """

    runtime: bytes
    program: str
    files: Mapping[str, MeasuredFile]
    links: Mapping[str, str]
    settings: Mapping[str, str]

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
        """Return the leaves in canonical JSON (RFC 8785); files, links and settings in the order of their names."""
        leaves: list[JsonValue] = [["format", FORMAT], ["runtime", self.runtime.hex()], ["program", self.program]]
        leaves += [["file", path, file.digest.hex(), file.size] for path, file in sorted(self.files.items())]
        leaves += [["link", name, path] for name, path in sorted(self.links.items())]
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
                settings={name: str(value) for name, value in fields["settings"].items()},
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
    if expected.program != actual.program:
        lines.append(f"the program is {actual.program}, expected {expected.program}")
    lines += _changed_files(expected.files, actual.files)
    # A link to a file that came or went says nothing new.
    told = expected.files.keys() ^ actual.files.keys()
    for name in sorted({*expected.links, *actual.links}):
        wanted, found = expected.links.get(name, name), actual.links.get(name, name)
        if wanted != found and not {wanted, found} & told:
            lines.append(f"{name} leads to {found}, expected {wanted}")
    for name in sorted({*expected.settings, *actual.settings}):
        wanted, found = expected.settings.get(name, ""), actual.settings.get(name, "")
        if wanted != found:
            lines.append(f"{name} {shown(name, found)}, expected {shown(name, wanted)}")
    return lines


def _changed_files(expected: Mapping[str, MeasuredFile], actual: Mapping[str, MeasuredFile]) -> list[str]:
    lines = []
    for path in sorted({*expected, *actual}):
        if path not in actual:
            lines.append(f"{path} is missing")
        elif path not in expected:
            lines.append(f"{path} added")
        elif expected[path] != actual[path]:
            lines.append(f"{path} changed")
    return lines


def _merkle(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + _merkle(leaves[:split]) + _merkle(leaves[split:])).digest()
