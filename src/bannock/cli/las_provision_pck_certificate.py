"""``scone las provision-pck-certificate``: give a LAS the certificate of its platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.las_options import add_las, add_timeout, asked, require_hardware

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Give a LAS the newest PCK certificate of its platform. There is one platform so far, `sim`, which has none: the command
says so, and ends with an error."""
_EXAMPLES: Final = """\
  scone las provision-pck-certificate --dcap-api-key KEY"""


def main(arguments: Sequence[str]) -> int:
    """Parse, ask."""
    parser = SconeParser("las provision-pck-certificate", _DESCRIPTION, _EXAMPLES)
    add_las(parser)
    add_timeout(parser)
    parser.add_argument("--dcap-api-key", required=True, metavar="KEY", help="subscription key of the PCS")
    require_hardware(asked(parser.parse(arguments)), "PCK certificate")
    return 0
