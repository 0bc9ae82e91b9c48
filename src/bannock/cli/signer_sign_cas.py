"""``scone signer sign-cas``: vouch for the CAS of this installation."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.signer_options import add_environment, add_signing, signing_options
from bannock.cli.signer_told import as_text
from bannock.files import write_atomically
from bannock.identity.cas_program import CAS_SIGSTRUCT, cas_measurement
from bannock.identity.sigstruct import SigStruct

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Sign the CAS that is installed here, for whoever provides it to others: clients then need not know the MRENCLAVE of
each version (`scone cas attest --mrsigner … --isvprodid … --isvsvn …`). The SIGSTRUCT goes beside the code of the CAS,
where `bannock cas serve` looks for it. It is for this very installation: sign anew after each update."""
_EXAMPLES: Final = """\
  scone-signer sign-cas --key cas-key.pem --production --isvprodid 41316 --isvsvn 5"""


def main(arguments: Sequence[str]) -> int:
    """Parse, measure, sign, write."""
    parser = SconeParser("signer sign-cas", _DESCRIPTION, _EXAMPLES)
    add_environment(parser)
    add_signing(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="show what was signed")
    parser.add_argument(
        "output", type=Path, nargs="?", default=CAS_SIGSTRUCT, metavar="FILE", help="where to write it instead"
    )
    parsed = parser.parse(arguments)
    options = signing_options(parsed, os.environ)
    sigstruct = SigStruct(
        measurement=cas_measurement(),
        product_id=options.product_id,
        svn=options.svn,
        date=options.date or dt.datetime.now(dt.UTC).date(),
        attributes=options.attributes,
        misc_select=options.misc_select,
    ).sign(options.key)
    write_atomically(parsed.output.absolute(), sigstruct.to_bytes(), mode=0o644)
    if parsed.verbose:
        sys.stdout.write(as_text(sigstruct, None))
    return 0
