"""``scone las probe``: find out whether a LAS works."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.las_options import add_las, add_timeout, asked, require_hardware
from bannock.cli.options import add_json, as_json
from bannock.evidence.quotes import SgxQuote, TdxQuote

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Ask a LAS for its platform and its quote: exit code 0 means that it can attest programs of this host. For liveness
probes; the quote is not verified, so whoever rules the host can pretend. With --dcap, the LAS has to give DCAP quotes
(platforms sgx and tdx, or what rehearses them). No platform has EPID quotes, which Intel has given up, or those of
SCONE's own quoting enclave."""
_EXAMPLES: Final = """\
  scone las probe
  scone las probe --las unix:/run/las.sock --timeout 5"""


def main(arguments: Sequence[str]) -> int:
    """Parse, ask, print."""
    parser = SconeParser("las probe", _DESCRIPTION, _EXAMPLES)
    add_las(parser)
    add_timeout(parser)
    parser.add_argument("--dcap", action="store_true", help="the LAS has to give DCAP quotes")
    parser.add_argument("--epid", action="store_true", help="the LAS has to give EPID quotes")
    parser.add_argument("--scone", action="store_true", help="the LAS has to give SCONE quotes")
    parser.add_argument("--dcap-api-key", metavar="KEY", help="subscription key of the PCS; not used")
    add_json(parser, "it")
    parsed = parser.parse(arguments)
    attester = asked(parsed)
    for kind, quotes in (("dcap", (SgxQuote, TdxQuote)), ("epid", ()), ("scone", ())):
        if getattr(parsed, kind):
            require_hardware(attester, f"{kind.upper()} quotes", *quotes)
    if parsed.as_json:
        found = {"las": attester.address, "platform": attester.platform.platform, "told": str(attester.platform)}
        sys.stdout.write(as_json(found))
        return 0
    sys.stdout.write(f"LAS at {attester.address} is healthy: platform {attester.platform}\n")
    return 0
