"""``scone signer sign``: vouch for a program with the settings that it is to start with."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.signer_options import add_settings, add_signing, settings_of, signing_options
from bannock.cli.signer_told import as_text
from bannock.files import write_atomically
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.reader import RootedReader
from bannock.identity.runtime_build import runtime_build
from bannock.identity.signing import SIGSTRUCT_SUFFIX, TREE_SUFFIX
from bannock.identity.sigstruct import SigStruct

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Sign an application: measure it with its loader, libraries and settings as it starts here, and write the signature
beside it (APPLICATION.sigstruct, the structure of SGX with 1808 bytes, and APPLICATION.measurement, what was signed).
The application itself is not changed. Sign it where it will run: its path is measured, too.

`bannock run` then starts it with the settings that it was signed with, unless the environment says otherwise, and
sessions can name its signer (MRSIGNER), product id and security version number. Sizes may end in K, M or G.

Without a key, the built-in debug key signs. Everybody has it, so sessions have to tolerate debug-mode."""
_EXAMPLES: Final = """\
  openssl genrsa -3 -out enclave-key.pem 3072
  scone-signer sign --key enclave-key.pem --production --heap 1G --isvprodid 41 --isvsvn 2 /usr/bin/python3
  SCONE_HEAP=200M scone-signer sign --env --verbose /work/print-arg-env"""


def main(arguments: Sequence[str]) -> int:
    """Parse, measure, sign, write."""
    parser = SconeParser("signer sign", _DESCRIPTION, _EXAMPLES)
    add_settings(parser)
    add_signing(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="show what was signed")
    parser.add_argument("file", type=Path, metavar="APPLICATION", help="the program")
    parsed = parser.parse(arguments)
    options = signing_options(parsed, os.environ)
    reader = RootedReader(Path("/"))
    binary = reader.resolve(os.path.abspath(parsed.file))  # noqa: PTH100 # links are resolved within the root
    manifest = EnclaveManifest(binary=binary, settings=settings_of(parsed, os.environ))
    tree = measure(manifest, reader, runtime_build())
    sigstruct = SigStruct(
        measurement=tree.root,
        product_id=options.product_id,
        svn=options.svn,
        date=options.date or dt.datetime.now(dt.UTC).date(),
        attributes=options.attributes,
        misc_select=options.misc_select,
    ).sign(options.key)
    write_atomically(Path(binary + TREE_SUFFIX), tree.to_json(), mode=0o644)
    write_atomically(Path(binary + SIGSTRUCT_SUFFIX), sigstruct.to_bytes(), mode=0o644)
    if parsed.verbose:
        sys.stdout.write(as_text(sigstruct, tree))
    return 0
