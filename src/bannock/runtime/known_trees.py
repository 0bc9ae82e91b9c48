"""Measurement trees that were kept beside their hashes, so that a refusal says what differs and not only that it does.

The host chooses the directory (``BANNOCK_MEASUREMENTS``), and nothing is decided by what is in it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, InputError, causes
from bannock.files import read_bounded, write_atomically
from bannock.identity.difference import difference
from bannock.identity.tree import TREE_BYTES_MAX, MeasurementTree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["compared", "keep_tree"]

_VARIABLE: Final = "BANNOCK_MEASUREMENTS"
_EXPECTED: Final = re.compile(r"\(MRENCLAVE, [0-9a-f]{64}\) - Expected ([0-9a-f]{64})")
#: What a person reads of one comparison.
_LINES_MAX: Final = 50


def keep_tree(tree: MeasurementTree, environment: Mapping[str, str]) -> None:
    """Keep a tree in the directory that the environment names, if it names one.

    Raises:
        EnvironmentFault: it cannot be written there.
    """
    directory = environment.get(_VARIABLE)
    if directory:
        write_atomically(_path(directory, str(tree.root)), tree.to_json(), mode=0o644)


def compared(error: BannockError, tree: bytes | None, environment: Mapping[str, str]) -> Iterator[str]:
    """Say what differs between an enclave and those that were expected in its place and are known here.

    Args:
        error: of the refusal.
        tree: of the enclave, in its canonical JSON.
        environment: of the host.
    """
    directory = environment.get(_VARIABLE)
    if not directory or tree is None:
        return
    reasons = [reason for cause in causes(error) if isinstance(cause, BannockError) for reason in cause.reasons]
    for digest in dict.fromkeys(match[1] for reason in reasons for match in _EXPECTED.finditer(reason)):
        try:
            expected = MeasurementTree.from_json(read_bounded(_path(directory, digest), TREE_BYTES_MAX))
            found = difference(expected, MeasurementTree.from_json(tree))
        except InputError:
            continue  # it was not kept here, or not by us
        if str(expected.root) != digest:
            continue
        yield f"What differs from {digest}:"
        yield from (f"  {line}" for line in found[:_LINES_MAX])
        if len(found) > _LINES_MAX:
            yield f"  and {len(found) - _LINES_MAX} more"


def _path(directory: str, digest: str) -> Path:
    return Path(directory) / f"{digest}.json"
