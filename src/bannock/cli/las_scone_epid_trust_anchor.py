"""``scone las scone-epid-trust-anchor``: the key that a LAS signs reports with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.attest_options import add_accepted
from bannock.cli.cas_options import SconeParser
from bannock.cli.las_options import add_las, asked, require_hardware
from bannock.evidence.quotes import SnpQuote, TdxQuote, TpmQuote

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print the public key that a LAS signs reports with, in the form in which sessions name it: `platforms` of a service,
and `security.attestation.trusted_scone_qe_pubkeys`. On platform `sim` nothing vouches for it, so it is printed only
with --only_for_testing-debug; on hardware it is another one at each renewal, and sessions name the machine instead.
There is no enclave, and so no measurement of it."""
_EXAMPLES: Final = """\
  scone las scone-epid-trust-anchor --only_for_testing-debug"""


def main(arguments: Sequence[str]) -> int:
    """Parse, ask, print."""
    parser = SconeParser("las scone-epid-trust-anchor", _DESCRIPTION, _EXAMPLES)
    add_las(parser)
    add_accepted(parser)
    parser.add_argument("--dev-env", action="store_true", help="for later platforms")
    parser.add_argument("-l", action="store_true", dest="linkable", help="for later platforms")
    parser.add_argument("--sp-id", metavar="SP_ID", help="for later platforms")
    parser.add_argument("--sp-key", metavar="SP_KEY", help="for later platforms")
    parser.add_argument(
        "--only_for_testing-debug", action="store_true", dest="debug", help="accept a LAS that can be manipulated"
    )
    parsed = parser.parse(arguments)
    attester = asked(parsed)
    if attester.key is None or not parsed.debug:
        quotes = (TdxQuote, SnpQuote, TpmQuote) if attester.platform.rehearses is None else ()
        require_hardware(attester, "trust anchor; --only_for_testing-debug shows its key nevertheless", *quotes)
    sys.stdout.write(f"Public key: {attester.key}\nMRENCLAVE: none (platform {attester.platform})\n")
    return 0
