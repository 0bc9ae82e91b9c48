"""``scone self show-certificate-hash``: the hash of its certificate."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.self_options import certificate_hash
from bannock.cli.state import state_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print the SHA-256 of the certificate of this command. It changes whenever a certificate is renewed, so access policies
should name the hash of the key instead (scone self show-key-hash)."""
_EXAMPLES: Final = """\
  scone self show-certificate-hash"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    SconeParser("self show-certificate-hash", _DESCRIPTION, _EXAMPLES).parse(arguments)
    sys.stdout.write(certificate_hash(state_file(os.environ)))
    return 0
