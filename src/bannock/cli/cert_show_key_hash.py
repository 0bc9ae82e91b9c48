"""``scone cert show-key-hash``: who a certificate is for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from bannock.cli.cas_options import SconeParser
from bannock.errors import InputError, PeerError
from bannock.files import read_bounded
from bannock.net.tls import key_hash_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_BYTES_MAX: Final = 1 << 20

_DESCRIPTION: Final = """\
Print the hash of the public key in an X.509 certificate, in base58: the form in which access policies name a client.
It stays the same when the certificate is renewed for the same key. Of several in a file, the first one counts."""
_EXAMPLES: Final = """\
  scone cert show-key-hash client.crt"""


def main(arguments: Sequence[str]) -> int:
    """Parse, read, print."""
    parser = SconeParser("cert show-key-hash", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="a certificate in PEM")
    file: Path = parser.parse(arguments).file
    try:
        certificate = x509.load_pem_x509_certificate(read_bounded(file, _BYTES_MAX))
        digest = key_hash_of(certificate)
    except (ValueError, PeerError) as error:
        raise InputError(
            f"{file} holds no certificate in PEM whose key is understood", hint="it begins with BEGIN CERTIFICATE"
        ) from error
    sys.stdout.write(f"{digest}\n")
    return 0
