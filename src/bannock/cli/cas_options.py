"""Options that the verbs of ``scone`` share: which CAS, who asks it, and how often."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.kept_receipts import KeptReceipts
from bannock.cli.options import Parser
from bannock.cli.state import state_file
from bannock.cli.style import painted
from bannock.errors import InputError
from bannock.files import read_private
from bannock.net.address import Address
from bannock.net.tls import Identity
from bannock.remote.cas_api import CasApi

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bannock.cli.state import StateFile

__all__ = [
    "CAS_PORT",
    "SconeParser",
    "add_cas",
    "add_identity",
    "add_retries",
    "cas_address",
    "cas_of",
    "identity_of",
    "retries_of",
    "warn",
]

CAS_PORT: Final = 8081
_RETRIES: Final = 3
_RETRIES_MAX: Final = 100
_RETRIES_VARIABLE: Final = "SCONE_CLI_RETRIES"


class SconeParser(Parser):
    """The parser of one verb of ``scone``; options and positional arguments may come in any order."""

    def __init__(self, verb: str, description: str, examples: str) -> None:
        super().__init__(verb, description, examples, command="scone")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse; an optional argument may stand behind an option, too (which ``parse_args`` does not take)."""
        return self.parse_intermixed_args(arguments)


def add_cas(parser: argparse.ArgumentParser, *, short: bool = True) -> None:
    """Add ``--cas`` with the options that every verb has that asks a CAS."""
    names = ("-c", "--cas") if short else ("--cas",)
    parser.add_argument(*names, metavar="CAS", help="the CAS, by the address it was attested at (the default one)")
    add_identity(parser)
    add_retries(parser)
    parser.add_argument(
        "--only_for_testing-disable-attestation-verification",
        action="store_true",
        dest="not_attested",
        help="take whoever answers at the address of the CAS for it: this is not secure",
    )


def add_identity(parser: argparse.ArgumentParser) -> None:
    """Add ``--identity``."""
    parser.add_argument(
        "--identity",
        type=Path,
        metavar="FILE",
        help="who asks: PEM private key (PKCS #8), then its X.509 certificate (the identity of this command)",
    )


def add_retries(parser: argparse.ArgumentParser) -> None:
    """Add ``--retries``."""
    parser.add_argument(
        "--retries",
        metavar="COUNT",
        help=f"how often to try again when the network fails (${_RETRIES_VARIABLE}, or {_RETRIES})",
    )


def retries_of(text: str | None) -> int:
    """Give the number of retries: the option, ``SCONE_CLI_RETRIES``, or the default.

    Raises:
        InputError: it is no number, or too large.
    """
    found = text or os.environ.get(_RETRIES_VARIABLE) or str(_RETRIES)
    if not (found.isascii() and found.isdigit() and int(found) <= _RETRIES_MAX):
        raise InputError(f"retries are a number from 0 to {_RETRIES_MAX}, found {found[:40]!r}")
    return int(found)


def identity_of(path: Path | None, state: StateFile) -> Identity:
    """Give who asks: what a file holds, or the identity of this command.

    Raises:
        InputError: the file is open to others, or holds no identity.
    """
    if path is None:
        return state.identity()
    try:
        return Identity.from_pem(read_private(path).strip() + b"\n")
    except InputError as error:
        raise InputError(f"cannot use the identity file {path}") from error


def cas_address(text: str) -> Address:
    """Parse the address of a CAS: ``HOST``, ``HOST:PORT``, or the same as an URL.

    Raises:
        InputError: it is none.
    """
    return Address.parse(text.removeprefix("https://").rstrip("/"), default_port=CAS_PORT)


def cas_of(parsed: argparse.Namespace, *, sealed: bool = False) -> CasApi:
    """Give the CAS that the options name.

    Args:
        parsed: the options.
        sealed: whether it gets nothing but what the right CAS alone can read.

    Raises:
        InputError: it has not been attested, or an option has a value that it cannot have.
    """
    state = state_file(os.environ)
    retries = retries_of(parsed.retries)
    identity = identity_of(parsed.identity, state)
    if parsed.not_attested and parsed.cas is not None:
        if not sealed:
            warn("the CAS is not verified: whoever answers there gets the session and its secrets")
        return CasApi(cas_address(parsed.cas), identity, expected=None, retries=retries)
    known = state.read().find_cas(parsed.cas)
    address = Address(known.host, known.port)
    if parsed.not_attested:
        return CasApi(address, identity, expected=None, retries=retries)
    return CasApi(address, identity, expected=known.key, retries=retries, receipts=KeptReceipts(state))


def warn(text: str) -> None:
    """Tell a person of something that does not stop us."""
    sys.stderr.write(f"{painted(f'Warning: {text}', sys.stderr, os.environ)}\n")
