"""``scone session sign``: put a signature to a session, made here or by another tool."""

from __future__ import annotations

import base64
import binascii
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.session_options import add_session, prepared
from bannock.cli.state import state_file
from bannock.errors import InputError
from bannock.files import read_bounded
from bannock.policy.signing import Form, add_signature, load_signer, sign, signing_message

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from bannock.policy.signing import SignerKey

__all__ = ["main"]

_OWN: Final = "sign-with-cli-identity"
_MESSAGE: Final = "generate-message-to-be-signed"
_ADD: Final = "add-signature"
_BYTES_MAX: Final = 64 << 10
_HELP: Final = frozenset({"-h", "--help"})

_DESCRIPTION: Final = f"""\
Sign a session, and print the signed session (JSON), which `scone session create` uploads. Whoever signs first becomes
its creator. A session may be signed by several, each signing what the former has printed; access policies name them as
`signer`, and count them with `require-at-least-N`. The first one puts the variables in: nothing changes afterwards.

subcommands, behind FILE:
  {_OWN}          by the session signing key of this command (the default)
  {_MESSAGE} [-f] [SIGNER]
                                  print the bytes that another tool has to sign
  {_ADD} SIGNER [SIGNATURE]
                                  put the signature of another tool to it; base64, or as it is from standard input

SIGNER is a file with the public key of the signer (PEM, Ed25519 or P-384); without it, this command is the signer."""
_EXAMPLES: Final = """\
  scone session sign session.yml > signed.json
  scone session sign signed.json > signed-by-two.json
  scone session sign session.yml generate-message-to-be-signed key.pub |
      openssl dgst -sha384 -sign key.pem | scone session sign session.yml add-signature key.pub > signed.json"""


def main(arguments: Sequence[str]) -> int:
    """Parse, sign or what the subcommand says, print."""
    before, subcommand, behind = _split(arguments, _SUBCOMMANDS)
    if subcommand is not None and not _HELP.isdisjoint(behind):
        return _SUBCOMMANDS[subcommand]("", "", behind)
    parser = SconeParser("session sign", _DESCRIPTION, _EXAMPLES)
    add_session(parser)
    parsed = parser.parse(before)
    session = prepared(parsed)
    if session.form is Form.ENCRYPTED:
        raise InputError(f"{parsed.file} is encrypted already: it is signed first, and encrypted then")
    return _SUBCOMMANDS[subcommand or _OWN](session.upload, parsed.file, behind)


def _split(
    arguments: Sequence[str], subcommands: Sequence[str] | dict[str, Callable[[str, str, Sequence[str]], int]]
) -> tuple[list[str], str | None, list[str]]:
    """Cut a command line at the first word that names a subcommand."""
    for number, word in enumerate(arguments):
        if word in subcommands:
            return list(arguments[:number]), word, list(arguments[number + 1 :])
    return list(arguments), None, []


def _sign(document: str, _file: str, arguments: Sequence[str]) -> int:
    parser = SconeParser(f"session sign FILE {_OWN}", "Sign with the session signing key of this command.", _EXAMPLES)
    parser.parse(arguments)
    sys.stdout.write(sign(document, state_file(os.environ).signing_key()))
    return 0


def _message(document: str, _file: str, arguments: Sequence[str]) -> int:
    parser = SconeParser(
        f"session sign FILE {_MESSAGE}", "Print the bytes that the signer has to sign; they are not text.", _EXAMPLES
    )
    parser.add_argument("-f", "--force", action="store_true", help="print them on a terminal, too")
    parser.add_argument("signer", nargs="?", type=Path, metavar="SIGNER", help="public key of the signer, PEM")
    parsed = parser.parse(arguments)
    if sys.stdout.isatty() and not parsed.force:
        raise InputError("the message is not text, and standard output is a terminal", hint="redirect it, or use -f")
    sys.stdout.flush()
    sys.stdout.buffer.write(signing_message(document, _signer(parsed)))
    sys.stdout.buffer.flush()
    return 0


def _add(document: str, file: str, arguments: Sequence[str]) -> int:
    parser = SconeParser(
        f"session sign FILE {_ADD}", "Put the signature of another tool to the session, and print it.", _EXAMPLES
    )
    parser.add_argument("signer", type=Path, metavar="SIGNER", help="public key of the signer, PEM")
    parser.add_argument("signature", nargs="?", metavar="SIGNATURE", help="base64; from standard input: as it is")
    parsed = parser.parse(arguments)
    if parsed.signature is None:
        _require_readable(file)
        signature = sys.stdin.buffer.read(_BYTES_MAX)
    else:
        try:
            signature = base64.b64decode(parsed.signature, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError("SIGNATURE is base64") from error
    sys.stdout.write(add_signature(document, _signer(parsed), signature))
    return 0


def _require_readable(file: str) -> None:
    """Refuse to take both the session and something else from standard input.

    Raises:
        InputError: the session came from there.
    """
    if file == "-":
        raise InputError("the session and its signature cannot both come from standard input")


def _signer(parsed: argparse.Namespace) -> SignerKey:
    if parsed.signer is None:
        return state_file(os.environ).signing_key().public_key()
    try:
        return load_signer(read_bounded(parsed.signer, _BYTES_MAX))
    except InputError as error:
        raise InputError(
            f"{parsed.signer} holds no public key of a signer",
            hint="openssl pkey -in private.key -pubout -out public.key",
        ) from error


_SUBCOMMANDS: Final[dict[str, Callable[[str, str, Sequence[str]], int]]] = {
    _OWN: _sign,
    _MESSAGE: _message,
    _ADD: _add,
}
