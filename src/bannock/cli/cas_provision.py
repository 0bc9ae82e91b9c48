"""``scone cas provision``: become the owner of a CAS."""

from __future__ import annotations

import datetime as dt
import os
import re
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.attest_options import (
    ACCEPTED_HELP,
    add_expectations,
    add_keys,
    endorsements_of,
    expectations,
    verification_time,
)
from bannock.cli.cas_options import SconeParser, add_identity, add_retries, cas_address, identity_of, retries_of, warn
from bannock.cli.cas_remember import plain_name, remember
from bannock.cli.state import state_file
from bannock.errors import InputError
from bannock.evidence.cas_verifier import CasExpectations
from bannock.evidence.endorsements import NO_ENDORSEMENTS
from bannock.remote.cas_api import CasApi
from bannock.remote.cas_attestation import attest_cas
from bannock.remote.owner_client import provision, read_config_file
from bannock.values import KeyHash, Secret

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bannock.evidence.endorsements import Endorsements

__all__ = ["main"]

_WITH: Final = "with-attestation"
_WITHOUT: Final = "only_for_testing-without-attestation"
_HELP: Final = frozenset({"-h", "--help"})
_TOKEN: Final = re.compile("[0-9a-fA-F]{32}")
_KEY: Final = re.compile("[0-9a-fA-F]{64}")

_DESCRIPTION: Final = f"""\
Claim a CAS that nobody owns yet, and give it its configuration. Key hash and token are on the console of the CAS: the
one makes sure that it is this CAS, the other that you are who may own it. The owner is the identity of this command,
or the one of --identity: keep it, nobody else can configure the CAS or make backups of it. The CAS is remembered as
by `scone cas attest`.

An argument @FILE is replaced by the lines of a file, so that a token or a key need not be seen in a list of processes.

subcommands, behind all options:
  {_WITH} [OPTIONS] [MRENCLAVE]
                          attest the CAS before it gets anything; the options are those of `scone cas attest`
  {_WITHOUT}
                          rely on the key hash alone: this is not secure"""
_EXAMPLES: Final = """\
  scone cas provision cas.example.com -c 42ku6fcMt8fzj8br84Xg1ZmForSJDTuj6wt1pURRcYpVzJiCSL \\
      --token e59a91c9dbf4538f32c4f20668bdbc08 --config-file cas-config.toml with-attestation"""


def main(arguments: Sequence[str]) -> int:
    """Parse, attest, claim, remember."""
    words = list(arguments)
    at = next((number for number, word in enumerate(words) if word in (_WITH, _WITHOUT)), len(words))
    behind = words[at + 1 :]
    if not _HELP.isdisjoint(behind):
        (_attestation_parser() if words[at] == _WITH else _nothing_parser()).parse(behind)
    parsed = _parse(words[:at])
    if at == len(words):
        raise InputError(f"`scone cas provision` ends with {_WITH} or {_WITHOUT}")
    expected = _expected(parsed, words[at], behind)
    _provision(parsed, *expected)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = SconeParser("cas provision", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("address", metavar="ADDRESS", help="HOST, HOST:PORT or https://HOST:PORT/")
    add_keys(parser, required=True)
    parser.add_argument("--token", required=True, metavar="TOKEN", help="32 hexadecimal digits, from the console")
    parser.add_argument(
        "--config-file", type=Path, required=True, metavar="FILE", help="configuration of the CAS: TOML, JSON or YAML"
    )
    parser.add_argument(
        "--database-key",
        metavar="KEY",
        help="64 hexadecimal digits to encrypt the database with; whoever knows them can read all secrets",
    )
    add_identity(parser)
    add_retries(parser)
    return parser.parse(arguments)


def _expected(
    parsed: argparse.Namespace, subcommand: str, arguments: Sequence[str]
) -> tuple[CasExpectations, dt.datetime, Endorsements]:
    now = dt.datetime.now(dt.UTC)
    if subcommand == _WITHOUT:
        _nothing_parser().parse(arguments)
        warn("the CAS is not attested: it gets the configuration whatever it runs")
        everything = CasExpectations(
            any_software=True,
            key_hash=KeyHash.from_base58(parsed.key_hash),
            allow_debug=True,
            allow_simulation=True,
            allow_unprovisioned=True,
            allow_owner_secret_access=True,
        )
        return everything, now, NO_ENDORSEMENTS
    attestation = _attestation_parser().parse(arguments)
    expected = expectations(
        attestation,
        key_hash=parsed.key_hash,
        software_key_hash=parsed.software_key_hash,
        allow_unprovisioned=True,
        allow_owner_secret_access=parsed.database_key is not None,
    )
    at = verification_time(attestation.verification_time, now)
    return expected, at, endorsements_of(attestation, at)


def _nothing_parser() -> SconeParser:
    return SconeParser(f"cas provision … {_WITHOUT}", "Rely on the key hash alone: this is not secure.", _EXAMPLES)


def _attestation_parser() -> SconeParser:
    parser = SconeParser(f"cas provision … {_WITH}", ACCEPTED_HELP, _EXAMPLES)
    add_expectations(parser)
    return parser


def _provision(
    parsed: argparse.Namespace, expected: CasExpectations, at: dt.datetime, endorsements: Endorsements
) -> None:
    token = _secret("--token", parsed.token, _TOKEN)
    database_key = None if parsed.database_key is None else _secret("--database-key", parsed.database_key, _KEY)
    config = read_config_file(parsed.config_file)
    state = state_file(os.environ)
    identity = identity_of(parsed.identity, state)
    address, retries = cas_address(parsed.address), retries_of(parsed.retries)
    attested = attest_cas(
        address, expected, retries=retries, at=at, random=secrets.token_bytes, endorsements=endorsements
    )
    with CasApi(address, identity, expected=attested.key_hash, retries=retries) as cas:
        provision(cas, config, token=token, database_key=database_key)
    sys.stdout.write(f"CAS {address.host} at https://{address}/ was provisioned; its owner is {identity.key_hash}\n")
    if database_key is not None:
        warn("whoever has the key of the database can read all secrets: attesting this CAS needs consent to it now")
    remember(state, plain_name(parsed.address), address, attested, dt.datetime.now(dt.UTC))


def _secret(option: str, text: str, form: re.Pattern[str]) -> Secret:
    if not form.fullmatch(text):
        raise InputError(f"{option} does not have the form {form.pattern}")
    return Secret(text.lower().encode("ascii"))
