"""Signed programs: the SIGSTRUCT of an unmodified program, which is kept beside it with what was signed. Pure.

Beside PROGRAM there are ``PROGRAM.sigstruct``, the structure as every tool for SGX reads it, and
``PROGRAM.measurement``, the measurement tree that it vouches for: the settings that the program starts with unless the
host says otherwise are in it, and it lets a refusal say what has changed since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import BannockError, DeniedError, InputError
from bannock.identity.difference import difference
from bannock.identity.sigstruct import SIGSTRUCT_BYTES, SigStruct
from bannock.identity.tree import TREE_BYTES_MAX, MeasurementTree

if TYPE_CHECKING:
    from bannock.identity.libraries import FileReader
    from bannock.values import Measurement

__all__ = ["SIGSTRUCT_SUFFIX", "TREE_SUFFIX", "SignedProgram", "require_measured"]

SIGSTRUCT_SUFFIX: Final = ".sigstruct"
TREE_SUFFIX: Final = ".measurement"
#: What a person reads of one comparison.
_LINES_MAX: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedProgram:
    """A SIGSTRUCT and the tree that it is for. That the signature holds is not said by this.

    Attributes:
        sigstruct: the signature.
        tree: what was measured when it was signed; its root is what the signature names.
    """

    sigstruct: SigStruct
    tree: MeasurementTree

    @classmethod
    def read(cls, program: str, reader: FileReader) -> Self | None:
        """Read what is beside a program; None if nobody signed it.

        Args:
            program: its canonical path.
            reader: reads the enclave's files.

        Raises:
            InputError: one of the two files is missing or malformed, or they do not belong to each other.
        """
        path = program + SIGSTRUCT_SUFFIX
        if not reader.exists(path):
            return None
        try:
            sigstruct = SigStruct.parse(reader.read(path, 0, SIGSTRUCT_BYTES + 1))
            tree = MeasurementTree.from_json(reader.read(program + TREE_SUFFIX, 0, TREE_BYTES_MAX + 1))
        except BannockError as error:
            raise InputError(
                f"{program} is signed, and its signature cannot be read",
                hint=f"keep {SIGSTRUCT_SUFFIX} and {TREE_SUFFIX} beside the program, or sign it anew",
            ) from error
        if tree.root != sigstruct.measurement:
            raise InputError(
                f"{program}{TREE_SUFFIX} is of MRENCLAVE {tree.root}, and {path} of {sigstruct.measurement}",
                hint="keep the two files together, or sign the program anew",
            )
        return cls(sigstruct=sigstruct, tree=tree)


def require_measured(signed: MeasurementTree, found: MeasurementTree) -> None:
    """Refuse what is not what was signed, and say what differs.

    Raises:
        DeniedError: it is something else.
    """
    if found.root == signed.root:
        return
    lines = difference(signed, found)
    more = [f"and {len(lines) - _LINES_MAX} more"] if len(lines) > _LINES_MAX else []
    raise DeniedError(
        f"{found.program} is signed for another enclave than it is",
        reasons=[_mismatch(found.root, signed.root), *lines[:_LINES_MAX], *more],
        hint="start it as it was signed, or sign it anew (scone-signer sign)",
    )


def _mismatch(found: Measurement, expected: Measurement) -> str:
    return f"Unexpected enclave measurement (MRENCLAVE, {found}) - Expected {expected}"
