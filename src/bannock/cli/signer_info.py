"""``scone signer info``: show what a signature says."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.signer_told import as_json, as_text
from bannock.errors import InputError
from bannock.identity.reader import RootedReader
from bannock.identity.signing import SIGSTRUCT_SUFFIX, SignedProgram
from bannock.identity.sigstruct import SIGSTRUCT_BYTES, SigStruct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.identity.tree import MeasurementTree

__all__ = ["main"]

_DESCRIPTION: Final = """\
Show what the signature of an application says, once it holds: MRENCLAVE, MRSIGNER, mode, product id, security version
number, and the settings that were signed. Takes a SIGSTRUCT of any other tool, too. Whether the application is still
what was signed, `scone-signer verify` finds out."""
_EXAMPLES: Final = """\
  scone-signer info /work/print-arg-env
  scone-signer info --json enclave.sigstruct"""


def main(arguments: Sequence[str]) -> int:
    """Parse, read, verify the signature, print."""
    parser = SconeParser("signer info", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("file", type=Path, metavar="FILE", help="the program, or a SIGSTRUCT")
    parsed = parser.parse(arguments)
    sigstruct, tree = _read(parsed.file)
    sigstruct.verify()
    sys.stdout.write(as_json(sigstruct, tree) if parsed.json else as_text(sigstruct, tree))
    return 0


def _read(file: Path) -> tuple[SigStruct, MeasurementTree | None]:
    reader = RootedReader(Path("/"))
    path = reader.resolve(os.path.abspath(file))  # noqa: PTH100 # links are resolved within the root
    signed = SignedProgram.read(path, reader)
    if signed is not None:
        return signed.sigstruct, signed.tree
    data = reader.read(path, 0, SIGSTRUCT_BYTES + 1)
    if len(data) != SIGSTRUCT_BYTES and not path.endswith(SIGSTRUCT_SUFFIX):
        raise InputError(f"{path} is not signed, and no SIGSTRUCT", hint="sign it: scone-signer sign")
    return SigStruct.parse(data), None
