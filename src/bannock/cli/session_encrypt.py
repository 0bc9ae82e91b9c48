"""``scone session encrypt``: make a session readable for one CAS alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.session_options import add_session, prepared
from bannock.cli.state import state_file
from bannock.errors import InputError
from bannock.files import read_bounded
from bannock.policy.signing import Form, encrypt, load_encryption_key, sign

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]

_BYTES_MAX: Final = 64 << 10
_PEM: Final = "-----BEGIN"

_DESCRIPTION: Final = """\
Encrypt a session for one CAS, and print the result (JSON), which somebody who must not read it can upload: `scone
session create`. It is signed before if it was not, by the session signing key of this command, and whoever signed
becomes its creator. No CAS is asked."""
_EXAMPLES: Final = """\
  scone session encrypt session.yml > encrypted.json
  scone session encrypt --key cas-encryption.pem -e MRENCLAVE=$MRENCLAVE session.yml > encrypted.json"""


def main(arguments: Sequence[str]) -> int:
    """Parse, sign, encrypt, print."""
    parser = SconeParser("session encrypt", _DESCRIPTION, _EXAMPLES)
    add_session(parser)
    parser.add_argument(
        "--cas", metavar="CAS", help="the CAS that it is for, by the address it was attested at (the default CAS)"
    )
    parser.add_argument(
        "--key",
        metavar="KEY",
        help="its public key instead, PEM or a file of it (scone cas show-identification --session-encryption-key)",
    )
    parsed = parser.parse(arguments)
    session = prepared(parsed)
    if session.form is Form.ENCRYPTED:
        raise InputError(f"{parsed.file} is encrypted already")
    state = state_file(os.environ)
    key = load_encryption_key(_key(parsed))
    signed = session.upload if session.form is Form.SIGNED else sign(session.upload, state.signing_key())
    sys.stdout.write(encrypt(signed, key))
    return 0


def _key(parsed: argparse.Namespace) -> bytes:
    if parsed.key is None:
        return state_file(os.environ).read().find_cas(parsed.cas).session_encryption_key.encode("ascii")
    if parsed.cas is not None:
        raise InputError("--cas and --key both say whom the session is for: give one of them")
    if parsed.key.lstrip().startswith(_PEM):
        return bytes(parsed.key, "utf-8")
    return read_bounded(Path(parsed.key), _BYTES_MAX)
