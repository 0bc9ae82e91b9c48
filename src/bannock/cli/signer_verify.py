"""``scone signer verify``: find out whether a program is what was signed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.errors import DeniedError, InputError
from bannock.identity.debug_key import DEBUG_SIGNER
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.reader import RootedReader
from bannock.identity.runtime_build import runtime_build
from bannock.identity.signing import SignedProgram, require_measured
from bannock.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Verify that a signature beside an application holds, and that the application is what was signed: it is measured again
with its loader and libraries, and the settings that it was signed with. What differs is told file by file. Prints
MRENCLAVE. A signature by the built-in key, which everybody has, is refused unless --allow-debug-key is given."""
_EXAMPLES: Final = """\
  scone-signer verify --mrsigner 195e5a6df987d6a515dd083750c1ea352283f8364d3ec9142b0d593988c6ed2d /usr/bin/python3
  scone-signer verify --allow-debug-key /work/print-arg-env"""


def main(arguments: Sequence[str]) -> int:
    """Parse, read, verify, print."""
    parser = SconeParser("signer verify", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--mrsigner", type=Measurement.from_hex, metavar="HEX", help="who has to have signed it")
    parser.add_argument("--allow-debug-key", action="store_true", help="take a signature by the built-in key, too")
    parser.add_argument("file", type=Path, metavar="APPLICATION", help="the program")
    parsed = parser.parse(arguments)
    reader = RootedReader(Path("/"))
    binary = reader.resolve(os.path.abspath(parsed.file))  # noqa: PTH100 # links are resolved within the root
    signed = SignedProgram.read(binary, reader)
    if signed is None:
        raise InputError(f"{binary} is not signed", hint="sign it: scone-signer sign")
    signed.sigstruct.verify()
    signer = signed.sigstruct.signer
    if parsed.mrsigner is not None and signer != parsed.mrsigner:
        raise DeniedError(f"{binary} is signed by MRSIGNER {signer}, expected {parsed.mrsigner}")
    if signer == DEBUG_SIGNER and not parsed.allow_debug_key:
        raise DeniedError(
            f"{binary} is signed with the built-in debug key, which everybody has",
            hint="sign it with a key of your own (--key), or verify it with --allow-debug-key",
        )
    manifest = EnclaveManifest(binary=binary, settings=signed.tree.settings)
    require_measured(signed.tree, measure(manifest, reader, runtime_build()))
    sys.stdout.write(f"{signed.sigstruct.measurement}\n")
    return 0
