"""``bannock execute``: encrypt inputs, run an application on a host, decrypt its outputs."""

from __future__ import annotations

import json
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser, add_mount, conf_directory, pairs
from bannock.cli.progress import amount, show_errors, show_progress
from bannock.errors import InputError
from bannock.evidence.modes import Mode, mode_of
from bannock.execution.application import load_application
from bannock.execution.bundle_host import BundleHost, LocalHost
from bannock.execution.execute import Client, plan_run
from bannock.execution.services import ExternalCas, Wanted, client_identity, open_services
from bannock.files import private_directory
from bannock.net.address import Address
from bannock.values import KeyHash

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from bannock.execution.execute import Result
    from bannock.execution.plan import Plan
    from bannock.runtime.settings import Mount

__all__ = ["HOSTS", "main"]

_CLIENT_PORT: Final = 8081
_ENCLAVE_PORT: Final = 18765

#: Kind of host → how to reach it, given the directory of the configuration.
HOSTS: Final[Mapping[str, Callable[[Path], BundleHost]]] = {
    "local": lambda conf: LocalHost(private_directory(conf / "hosts") / "local"),
}

_DESCRIPTION: Final = """\
Encrypt the files in a directory, run an application on them on a host that is not trusted, and decrypt what it made.
Keys and expected states go to a CAS, which gives them to the attested application alone. Without further options,
CAS, LAS and transfer service are embedded, and their state is kept in the directory of the configuration."""
_EXAMPLES: Final = """\
  bannock execute --application copy_demo --host local --input INPUTS --output OUTPUTS
  bannock execute --application ./my-bundle --input INPUTS --output OUTPUTS --env API_KEY
  bannock execute --application copy_demo --input INPUTS --output OUTPUTS \\
      --cas cas.example --cas-key 9dT…x --transfer https://transfer.example"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    application: str
    host: str
    input: Path
    output: Path
    conf: Path
    variables: Mapping[str, str]
    mount: Mount
    wanted: Wanted
    dry_run: bool
    as_json: bool


def main(arguments: Sequence[str]) -> int:
    """Parse, run, tell the result on standard output, and return the application's exit code."""
    options = _parse(arguments, os.environ)
    plan = plan_run(
        load_application(options.application),
        host=options.host,
        input_directory=options.input,
        output_directory=options.output,
        variables=options.variables,
        mount=options.mount,
        random=secrets.token_bytes,
    )
    if options.dry_run:
        sys.stdout.write("".join(f"{line}\n" for line in plan.lines()))
        return 0
    conf = private_directory(options.conf)
    host, identity = HOSTS[options.host](conf), client_identity(conf)
    with (
        show_progress(sys.stderr) as progress,
        show_errors(progress),
        open_services(conf, options.wanted) as services,
    ):
        client = Client(identity=identity, services=services, progress=progress, random=secrets.token_bytes)
        result = client.execute(plan, host)
    sys.stderr.write(result.outcome.log)
    sys.stdout.write(_json(plan, result) if options.as_json else _text(plan, result))
    return result.outcome.exit_code


def _mode(environment: Mapping[str, str]) -> Mode:
    return mode_of(environment) if environment.get("SCONE_MODE") else Mode.SIM


def _parse(arguments: Sequence[str], environment: Mapping[str, str]) -> _Options:
    parser = Parser("execute", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "--application", required=True, metavar="NAME|./DIR", help="a bundle: by name, or its directory"
    )
    parser.add_argument("--host", choices=sorted(HOSTS), default="local", help="where to run (default: local)")
    parser.add_argument("--input", type=Path, required=True, metavar="DIR", help="what the application is to read")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where to decrypt what it wrote")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="keys and state ($BANNOCK_HOME or ~/.config/bannock)")
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="a variable of the session template; without a value, from the environment, which keeps it out of `ps`",
    )
    add_mount(parser)
    _add_services(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the result as JSON")
    parsed = parser.parse_args(arguments)
    return _Options(
        application=parsed.application,
        host=parsed.host,
        input=parsed.input,
        output=parsed.output,
        conf=conf_directory(parsed.conf, environment),
        variables=pairs("--env", parsed.env, environment),
        mount=parsed.mount,
        wanted=Wanted(cas=_cas(parsed), las=parsed.las, transfer=parsed.transfer, mode=_mode(environment)),
        dry_run=parsed.dry_run,
        as_json=parsed.as_json,
    )


def _add_services(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("services that run elsewhere")
    group.add_argument("-s", "--cas", metavar="HOST[:PORT]", help=f"client interface of a CAS (port {_CLIENT_PORT})")
    group.add_argument("--cas-key", metavar="HASH", help="the key hash that it must have")
    group.add_argument("--cas-enclave", metavar="HOST[:PORT]", help=f"its enclave interface (port {_ENCLAVE_PORT})")
    group.add_argument("--las", metavar="ADDRESS", help="the LAS of the host: HOST[:PORT] or unix:/PATH")
    group.add_argument("-r", "--transfer", metavar="URL", help="a transfer service that speaks transfer.sh")


def _cas(parsed: argparse.Namespace) -> ExternalCas | None:
    if parsed.cas is None:
        if parsed.cas_key is not None or parsed.cas_enclave is not None:
            raise InputError("--cas-key and --cas-enclave belong to --cas, which is not given")
        return None
    if parsed.cas_key is None:
        raise InputError(
            f"--cas {parsed.cas} is given without --cas-key, so anybody could pass for it",
            hint="the operator of the CAS has its key hash; `bannock cas serve` prints it",
        )
    client = Address.parse(parsed.cas, default_port=_CLIENT_PORT)
    enclave = Address.parse(parsed.cas_enclave or client.host, default_port=_ENCLAVE_PORT)
    return ExternalCas(client=client, enclave=enclave, key=KeyHash.from_base58(parsed.cas_key))


def _text(plan: Plan, result: Result) -> str:
    record, extracted = result.outcome.record, result.extracted
    return (
        f"{extracted.files} entries, {amount(extracted.bytes)}, decrypted into {plan.output}\n"
        f"session    {plan.session}\n"
        f"attested   MRENCLAVE {result.expected}, platform {record.platform}\n"
        f"inputs     state {result.input_tag}\n"
        f"outputs    state {result.output_before} before, {result.output_after} after\n"
    )


def _json(plan: Plan, result: Result) -> str:
    document = {
        "session": plan.session,
        "exit_code": result.outcome.exit_code,
        "mrenclave": str(result.expected),
        "platform": result.outcome.record.platform,
        "mount": result.outcome.record.mount,
        "input_tag": str(result.input_tag),
        "output_tag_before": str(result.output_before),
        "output_tag_after": str(result.output_after),
        "files": result.extracted.files,
        "bytes": result.extracted.bytes,
    }
    return f"{json.dumps(document, indent=2)}\n"
