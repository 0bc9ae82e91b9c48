"""``scone cas show-identification``: what a CAS can be recognised by."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.options import add_json, as_json
from bannock.cli.state import state_file

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print what a CAS that was attested can be recognised by: what others give to `scone cas attest -c` or `-s`, and write
into sessions that share secrets with it (`cas_key`, `cas_software_key`). What is asked for is printed in the order of
the options here; without one of them, the certificate chain."""
_EXAMPLES: Final = """\
  scone cas show-identification -c
  scone cas show-identification cas.example.com --session-encryption-key > cas-encryption.pem"""

#: Option names, what it prints, and how to help.
_WHAT: Final = (
    (("-c", "--cas-key-hash"), "key_hash", "hash of the key of the CAS"),
    (("-C", "--cas-certificate"), "certificate", "certificate of the CAS, PEM"),
    (("-s", "--cas-software-key-hash"), "software_key_hash", "hash of the key of its software"),
    (("-S", "--cas-software-certificate"), "software_certificate", "certificate of its software, PEM"),
    (("--session-encryption-key",), "session_encryption_key", "public key to encrypt sessions for it with, PEM"),
)


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    parser = SconeParser("cas show-identification", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("cas", nargs="?", metavar="CAS", help="the address that it was attested at (the default CAS)")
    for names, field, what in _WHAT:
        parser.add_argument(*names, action="store_true", dest=field, help=what)
    parser.add_argument(
        "-T", "--certificate-chain", action="store_true", dest="chain", help="both certificates, PEM (default)"
    )
    add_json(parser, "all of it")
    parsed = parser.parse(arguments)
    known = state_file(os.environ).read().find_cas(parsed.cas)
    if parsed.as_json:
        sys.stdout.write(as_json({"name": known.name, **{field: getattr(known, field) for _, field, _ in _WHAT}}))
        return 0
    told = [str(getattr(known, field)).strip() for _, field, _ in _WHAT if getattr(parsed, field)]
    if parsed.chain or not told:
        told += [known.certificate.strip(), known.software_certificate.strip()]
    sys.stdout.writelines(f"{text}\n" for text in told)
    return 0
