"""``bannock run``: start one command as an enclave on this host. Imports nothing that is slow to import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser, add_mount, pairs
from bannock.errors import InputError
from bannock.runtime.run import run
from bannock.runtime.settings import Bind, RunOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Start COMMAND as an enclave: measure it, attest it to a CAS, and run it with the arguments, environment, working
directory, files and volumes of its session. What the host passes is not used, but where the session asks for it (@@1,
@@*, @@NAME).

environment:
  SCONE_CAS_ADDR    the CAS: HOST[:PORT], port 18765 by default
  SCONE_CONFIG_ID   what to run: SESSION/SERVICE, or SESSION/SERVICE@123456 with a one-time password
  SCONE_SERVICE_ACCESS_TOKEN
                    the service access token of the session
  SCONE_LAS_ADDR    the LAS of this host: HOST[:PORT] or unix:/PATH (default 127.0.0.1:18766)
  SCONE_MODE        hw: run with evidence of hardware alone; sim, auto (the default): with what there is
  BANNOCK_CAS_KEY   the key hash that the CAS must have
  BANNOCK_CAS_PATIENCE
                    for how many seconds a running service waits for a CAS that is away (default 600)
  SCONE_LOG         FATAL, ERROR, WARNING, INFO, DEBUG or TRACE
  SCONE_FSPF, SCONE_FSPF_KEY, SCONE_FSPF_TAG
                    without SCONE_CONFIG_ID: the main protection file, its key and its state; for trying things out,
                    since nothing is attested and the key passes through this host
  SCONE_FSPF_MUTABLE=1   let the region / be changed
  SCONE_HASH=1      print MRENCLAVE and do nothing else
  BANNOCK_MEASUREMENTS   a directory: SCONE_HASH=1 keeps there what MRENCLAVE is made of, and a refusal says
                    what differs from what was expected, if that is there
  SCONE_VERSION=1   print settings, MRENCLAVE and mode before the application starts
  SCONE_HEAP, SCONE_MIN_HEAP, SCONE_STACK, SCONE_TCS, SCONE_ALLOW_DLOPEN, SCONE_MPROTECT, SCONE_FORK
                    settings that are measured; by default those that the program was signed with
  SCONE_EXTENSIONS_PATH
                    file-system images that become the application's root, separated by colons

The exit code is the application's, or the one of the refusal (docs/errors.md)."""
_EXAMPLES: Final = """\
  SCONE_HASH=1 bannock run -- /usr/bin/python3
  SCONE_CAS_ADDR=cas.example SCONE_CONFIG_ID=my-session/app bannock run --volume data=/srv/data -- /usr/bin/python3"""


def main(arguments: Sequence[str]) -> int:
    """Parse, run, and return the application's exit code."""
    return run(_parse(arguments), os.environ)


def _parse(arguments: Sequence[str]) -> RunOptions:
    parser = Parser("run", _DESCRIPTION, _EXAMPLES)
    parser.usage = "bannock run [OPTIONS] -- COMMAND"
    parser.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="HOST:ENCLAVE",
        help="show a directory of the host, unchangeable",
    )
    parser.add_argument(
        "--volume", action="append", default=[], metavar="NAME=DIR", help="directory that holds a volume's ciphertext"
    )
    add_mount(parser)
    parser.add_argument("--record", type=Path, metavar="FILE", help="write what happened to a file, without secrets")
    parser.add_argument(
        "command",
        nargs="+",
        metavar="COMMAND",
        help="the program; further words are its arguments where the session asks for them (@@1) or there is none",
    )
    parsed = parser.parse_args(arguments)
    volumes = pairs("--volume", parsed.volume)
    return RunOptions(
        command=parsed.command[0],
        arguments=tuple(parsed.command[1:]),
        binds=tuple(map(_bind, parsed.bind)),
        volumes={name: _directory(name, text) for name, text in volumes.items()},
        mount=parsed.mount,
        record=None if parsed.record is None else parsed.record.absolute(),
    )


def _directory(name: str, text: str) -> Path:
    if not text:
        raise InputError(f"--volume {name} names no directory")
    return Path(text).absolute()


def _bind(text: str) -> Bind:
    host, colon, enclave = text.rpartition(":")
    if not colon or not host or not enclave.startswith("/"):
        raise InputError(f"--bind is HOST:ENCLAVE, and ENCLAVE is absolute; found {text!r}")
    return Bind(host=Path(host).absolute(), enclave=Path(enclave))
