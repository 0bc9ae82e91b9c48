"""The options of ``bannock execute``, and what they say: values alone."""

from __future__ import annotations

import contextlib
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser, add_mount, add_quiet, conf_directory, pairs
from bannock.cli.state import state_file
from bannock.errors import InputError
from bannock.evidence.modes import Mode, mode_of
from bannock.execution.services import ExternalCas
from bannock.files import read_bounded
from bannock.net.address import Address
from bannock.values import KeyHash

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from bannock.runtime.settings import Mount

__all__ = ["ExecuteOptions", "cas_named", "mode_in", "parse_execute"]

_CLIENT_PORT: Final = 8081
_ENCLAVE_PORT: Final = 18765
_DOCUMENT_BYTES_MAX: Final = 1 << 20
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)([smhd]?)")

_DESCRIPTION: Final = """\
Encrypt the files in a directory, run an application on them on a host that is not trusted, and decrypt what it made.
Keys and expected states go to a CAS, which gives them to the attested application alone. Applications are container
images whose program starts as an enclave, on hosts of `bannock add-host` or this machine; or bundles, on this machine.
Without further options, the CAS is embedded, and its state is kept in the directory of the configuration.

Ctrl-C cancels a run, and leaves nothing of it; with --keep, and once there are outputs, it stays where it is. What
is broken off otherwise (a lost connection, the end of this machine) is there still: see `bannock runs list`."""
_EXAMPLES: Final = """\
  bannock execute --application copy_demo --host local --input INPUTS --output OUTPUTS
  bannock execute --application registry.example/team/blender --host caroline --input INPUTS --output OUTPUTS
  bannock execute --application blender_python --host a,b,c --split FRAME=1..240/10 --input INPUTS --output OUTPUTS
  bannock execute --application copy_demo --input INPUTS --output OUTPUTS \\
      --cas cas.example --cas-key 9dT…x --transfer https://transfer.example"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecuteOptions:
    """What a user wants.

    Attributes:
        application: a bundle or an image.
        hosts: aliases.
        split: how the work is cut in pieces; empty: it is not.
        per_host: how many pieces run on a host at once.
        input, output: directories of this machine.
        conf: keys and state.
        variables: of the session's template.
        mount: how volumes come under the application.
        template: of the session, in place of the application's own.
        sessions: documents that the CAS has to have before.
        seconds: how long the program may run; None: as long as it likes.
        keep: whether an interruption leaves the run alone.
        pull: whether hosts fetch the image themselves.
        cas: a CAS that runs elsewhere.
        las: the LAS of the host.
        transfer: the way of the volumes.
        mode: what an embedded LAS takes to vouch for this machine.
        dry_run: whether to print the plan alone.
        as_json: whether to print the result as JSON.
        quiet: whether nothing is told of how far it is.
    """

    application: str
    hosts: tuple[str, ...]
    split: str
    per_host: int
    input: Path
    output: Path
    conf: Path
    variables: Mapping[str, str] = field(repr=False)
    mount: Mount
    template: str | None
    sessions: tuple[str, ...] = field(repr=False)
    seconds: float | None
    keep: bool
    pull: bool
    cas: ExternalCas | None
    las: str | None
    transfer: str | None
    mode: Mode
    dry_run: bool
    as_json: bool
    quiet: bool


def parse_execute(arguments: Sequence[str], environment: Mapping[str, str]) -> ExecuteOptions:
    """Read the command line.

    Raises:
        InputError: an option has a value that it cannot have.
        BannockError: the CAS is not known yet, and cannot be attested.
    """
    parser = Parser("execute", _DESCRIPTION, _EXAMPLES)
    _add_what(parser, environment)
    add_mount(parser)
    _add_services(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the result as JSON")
    add_quiet(parser)
    parsed = parser.parse_args(arguments)
    hosts = tuple(parsed.host.split(","))
    if not all(hosts) or len(set(hosts)) != len(hosts):
        raise InputError(f"--host is one alias, or several different ones with commas between, found {parsed.host!r}")
    if len(hosts) > 1 and not parsed.split:
        raise InputError("--host names several hosts, and nothing says how the work is divided among them",
                         hint="--split FRAME=1..240/10, for example")  # fmt: skip
    return ExecuteOptions(
        application=parsed.application,
        hosts=hosts,
        split=parsed.split or "",
        per_host=_count("--per-host", parsed.per_host),
        input=_directory("--input", parsed.input),
        output=_directory("--output", parsed.output),
        conf=conf_directory(parsed.conf, environment),
        variables=pairs("--env", parsed.env, environment),
        mount=parsed.mount,
        template=None if parsed.template is None else _document(parsed.template),
        sessions=tuple(map(_document, parsed.session)),
        seconds=None if parsed.timeout is None else _duration(parsed.timeout),
        keep=parsed.keep,
        pull=parsed.pull,
        cas=cas_named(parsed.cas, parsed.cas_key, parsed.cas_enclave, environment),
        las=parsed.las,
        transfer=parsed.transfer,
        mode=mode_in(environment),
        dry_run=parsed.dry_run,
        as_json=parsed.as_json,
        quiet=parsed.quiet,
    )


def mode_in(environment: Mapping[str, str]) -> Mode:
    """Return what an embedded LAS takes: simulation unless something is said (:class:`bannock.execution.services`)."""
    return mode_of(environment) if environment.get("SCONE_MODE") else Mode.SIM


def cas_named(
    name: str | None, key: str | None, enclave: str | None, environment: Mapping[str, str]
) -> ExternalCas | None:
    """Return the CAS that options name; without a key, the one that was attested, or is attested now.

    Raises:
        InputError: options are missing.
        BannockError: it cannot be attested.
    """
    if name is None:
        if key is not None or enclave is not None:
            raise InputError("--cas-key and --cas-enclave belong to --cas, which is not given")
        return None
    if key is None:
        client, known = _attested(name, environment)
    else:
        client, known = Address.parse(name, default_port=_CLIENT_PORT), KeyHash.from_base58(key)
    address = Address.parse(enclave, default_port=_ENCLAVE_PORT) if enclave else Address(client.host, _ENCLAVE_PORT)
    return ExternalCas(client=client, enclave=address, key=known)


def _attested(name: str, environment: Mapping[str, str]) -> tuple[Address, KeyHash]:
    state = state_file(environment)
    try:
        known = state.read().find_cas(name)
    except InputError:
        # Slow to import, and rarely needed.
        from bannock.cli import cas_attest  # noqa: PLC0415

        with contextlib.redirect_stdout(sys.stderr):
            cas_attest.main([name])
        known = state.read().find_cas(name)
    return Address(known.host, known.port), known.key


def _add_what(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    add = parser.add_argument
    add(
        "--application", required=True, metavar="IMAGE|NAME|./DIR", help="an image; or a bundle: by name, or its place"
    )
    add("--host", default="local", metavar="ALIAS[,…]", help="where to run: of `bannock list-hosts` (default: local)")
    for name, variable, what in (
        ("--input", "BANNOCK_INPUT", "what the application is to read"),
        ("--output", "BANNOCK_OUTPUT", "where to decrypt what it wrote"),
    ):
        default = environment.get(variable) or None
        add(name, type=Path, default=default, required=default is None, metavar="DIR", help=f"{what} (${variable})")
    add("--conf", type=Path, metavar="DIR", help="keys and state ($BANNOCK_HOME or ~/.config/bannock)")
    add(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="a variable of the session template; without a value, from the environment, which keeps it out of `ps`",
    )
    add("--template", type=Path, metavar="FILE", help="template of the session, in place of the image's own")
    add("--session", type=Path, action="append", default=[], metavar="FILE", help="a session that the CAS has to have")
    add("--timeout", metavar="TIME", help="how long the program may run: seconds, or 90s, 15m, 2h, 1d")
    add(
        "--split",
        metavar="NAME=FIRST..LAST[/N]",
        help="run for pieces of N values each: variables NAME_FIRST, NAME_LAST",
    )
    add("--per-host", default="1", metavar="N", help="so many pieces run on a host at once (1)")
    add("--keep", action="store_true", help="Ctrl-C leaves the run alone, to be resumed")
    add("--pull", action="store_true", help="hosts fetch the image from its registry, instead of from here")


def _add_services(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("services that run elsewhere")
    group.add_argument("-s", "--cas", metavar="HOST[:PORT]", help=f"client interface of a CAS (port {_CLIENT_PORT})")
    group.add_argument("--cas-key", metavar="HASH", help="the key hash that it must have; else it is attested")
    group.add_argument("--cas-enclave", metavar="HOST[:PORT]", help=f"its enclave interface (port {_ENCLAVE_PORT})")
    group.add_argument("--las", metavar="ADDRESS", help="the LAS of the host: HOST[:PORT] or unix:/PATH")
    group.add_argument(
        "-r", "--transfer", metavar="WAY",
        help="how volumes travel: a transfer.sh service, s3://BUCKET/PREFIX, dir:PATH, ssh (the default)",
    )  # fmt: skip


def _directory(option: str, path: Path) -> Path:
    if not str(path):
        raise InputError(f"{option} names no directory")
    return path.absolute()


def _document(path: Path) -> str:
    try:
        return read_bounded(path, _DOCUMENT_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8") from error


def _count(option: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1000):  # noqa: PLR2004 # more than any host runs
        raise InputError(f"{option} is a number from 1 to 1000, found {text[:40]!r}")
    return int(text)


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise InputError(f"--timeout is a time such as 90s, 15m, 2h or 1d, found {text[:40]!r}")
    return seconds
