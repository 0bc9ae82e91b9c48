"""``scone las provision-pck-certificate``: give a LAS the certificate of its platform."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.las_options import add_las, add_timeout, asked, require_hardware
from bannock.evidence.quotes import SgxQuote, TdxQuote

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Give a LAS the newest PCK certificate of its platform. Quotes of this software's platforms bring their PCK certificate
along (certification data of type 5): it is put into them by the quoting service of the host, which is who has to be
given a newer one. So there is nothing to give to a LAS; on platforms that have no such certificate at all the command
ends with an error."""
_EXAMPLES: Final = """\
  scone las provision-pck-certificate --dcap-api-key KEY"""


def main(arguments: Sequence[str]) -> int:
    """Parse, ask."""
    parser = SconeParser("las provision-pck-certificate", _DESCRIPTION, _EXAMPLES)
    add_las(parser)
    add_timeout(parser)
    parser.add_argument("--dcap-api-key", required=True, metavar="KEY", help="subscription key of the PCS")
    attester = asked(parser.parse(arguments))
    require_hardware(attester, "PCK certificate", SgxQuote, TdxQuote)
    sys.stdout.write(
        f"LAS at {attester.address}: platform {attester.platform}: the PCK certificate comes with each quote; "
        "a newer one is for the quoting service of the host\n"
    )
    return 0
