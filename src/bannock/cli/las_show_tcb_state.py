"""``scone las show-tcb-state``: how up to date the platform of a LAS is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.las_options import add_las, add_timeout, asked, require_hardware
from bannock.evidence.quotes import SnpQuote, TdxQuote, TpmQuote

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Tell how up to date the platform of a LAS is, and what would make it better. There is one platform so far, `sim`, which
has nothing that could be out of date: the command says so, and ends with an error."""
_EXAMPLES: Final = """\
  scone las show-tcb-state --las localhost"""


def main(arguments: Sequence[str]) -> int:
    """Parse, ask."""
    parser = SconeParser("las show-tcb-state", _DESCRIPTION, _EXAMPLES)
    add_las(parser)
    add_timeout(parser)
    parser.add_argument("--dcap-api-key", metavar="KEY", help="subscription key of the PCS")
    parser.add_argument("--dont-fail-on-upgradable-pck-certificate", action="store_true", help="for later platforms")
    parser.add_argument("--fail-on-upgradable-platform-tcb", action="store_true", help="for later platforms")
    parser.add_argument("--json", choices=("summary",), help="for later platforms")
    require_hardware(asked(parser.parse(arguments)), "TCB state", TdxQuote, SnpQuote, TpmQuote)
    return 0
