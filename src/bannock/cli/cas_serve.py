"""``bannock cas serve``: serve the configuration and attestation service."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cas.config import load_config
from bannock.cas.serving import serve
from bannock.cli.logs import LOG_FORMATS, log_to_stderr
from bannock.cli.options import Parser, conf_directory
from bannock.evidence.modes import mode_of
from bannock.files import private_directory
from bannock.identity.cas_program import cas_measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.cas.service import Cas
    from bannock.net.address import Address

__all__ = ["main"]

_log = logging.getLogger(__name__)

_DESCRIPTION: Final = """\
Serve the CAS: it keeps sessions and their secrets, appraises evidence, and gives a configuration to the enclave that a
session names. Its key hash, which is printed at start, is what clients and enclaves recognise it by.

environment:
  SCONE_MODE        hw: refuse to start where no hardware vouches for the CAS; sim: look for none; auto (the default):
                    take what there is
  SCONE_HASH=1      print the MRENCLAVE of the CAS and do nothing else"""
_HASH: Final = "SCONE_HASH"
_EXAMPLES: Final = """\
  bannock cas serve
  bannock cas serve --config /etc/bannock/cas.toml --workers 4 --log-format json"""


def main(arguments: Sequence[str]) -> int:
    """Parse, serve until SIGINT or SIGTERM."""
    parser = Parser("cas serve", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML; without it, everything has its default")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="files ($BANNOCK_HOME or ~/.config/bannock)")
    parser.add_argument(
        "--accept-rollback",
        action="store_true",
        help="start with a database that is older than it was; what came after it is lost, and the audit log says so",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that serve it, 1 by default")
    parser.add_argument(
        "--console",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="pages for people at /console of the client interface (they are there unless this says no)",
    )
    parser.add_argument("--log-format", choices=LOG_FORMATS, default="text", help="text, or json: an object a line")
    parsed = parser.parse_args(arguments)
    if os.environ.get(_HASH, "0") not in {"", "0"}:
        sys.stdout.write(f"{cas_measurement()}\n")
        return 0
    log_to_stderr(parsed.log_format)
    # Programs that rotate files say so by it. There is nothing to do: the audit log follows the name of its file.
    signal.signal(signal.SIGHUP, lambda *_: _log.info("the audit log goes to the file that has its name now"))
    conf = private_directory(conf_directory(parsed.conf, os.environ))
    config = load_config(parsed.config, home=private_directory(conf / "cas"))
    serve(
        replace(config, accept_rollback=parsed.accept_rollback, mode=mode_of(os.environ), console=parsed.console),
        ready=_ready,
        workers=parsed.workers,
    )
    return 0


def _ready(cas: Cas, addresses: tuple[Address, Address]) -> None:
    client, enclave = addresses
    lines = [
        f"CAS {cas.key_hash}",
        f"  for clients at {client}",
        f"  for enclaves at {enclave}",
        f"  software key {cas.self_attestation.software.key_hash}",
        f"  MRENCLAVE {cas.self_attestation.measurement}",
    ]
    if (token := cas.owner.token) is not None:
        waits = ", and serves nobody before it has one" if cas.owner.required else ""
        lines.append(f"  no owner yet{waits}; provisioning token {token}")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
