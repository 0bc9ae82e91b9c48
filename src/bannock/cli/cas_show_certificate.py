"""``scone cas show-certificate``: the certificates of a CAS."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.state import state_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print the certificates of a CAS that was attested (PEM): that of the CAS, then that of its software, which the former
has issued. With the file, other programs know the CAS, too."""
_EXAMPLES: Final = """\
  scone cas show-certificate > cas.pem
  curl --cacert cas.pem https://cas.example.com:8081/v1/values/session=my-company/app"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    parser = SconeParser("cas show-certificate", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("cas", nargs="?", metavar="CAS", help="the address that it was attested at (the default CAS)")
    known = state_file(os.environ).read().find_cas(parser.parse(arguments).cas)
    sys.stdout.write(known.certificate + known.software_certificate)
    return 0
