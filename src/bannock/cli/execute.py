"""``bannock execute``: encrypt inputs, run an application on a host, decrypt its outputs."""

from __future__ import annotations

import json
import os
import secrets
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.execute_options import parse_execute
from bannock.cli.progress import amount, show_errors, show_progress
from bannock.errors import InputError
from bannock.execution.application import is_bundle, load_application
from bannock.execution.bundle_host import BundleHost, LocalHost
from bannock.execution.execute import Client, plan_run
from bannock.execution.services import Wanted, client_identity, open_services
from bannock.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bannock.cli.execute_options import ExecuteOptions
    from bannock.execution.execute import Result
    from bannock.execution.plan import Plan

__all__ = ["HOSTS", "main"]

#: Hosts of bundles → how to reach them, given the directory of the configuration.
HOSTS: Final[Mapping[str, Callable[[Path], BundleHost]]] = {
    "local": lambda conf: LocalHost(private_directory(conf / "hosts") / "local"),
}
#: Options that are of runs of images alone, as they are when nobody gives them.
_OF_IMAGES: Final[Mapping[str, object]] = {
    "template": None, "sessions": (), "seconds": None, "split": "", "keep": False, "pull": False,
}  # fmt: skip
_WORDS: Final = {"sessions": "--session", "seconds": "--timeout"}


def main(arguments: Sequence[str]) -> int:
    """Parse, run, tell the result on standard output, and return the application's exit code."""
    options = parse_execute(arguments, os.environ)
    if is_bundle(options.application):
        return _execute_bundle(options)
    # Images take more to import than bundles do.
    from bannock.cli.execute_image import execute_image  # noqa: PLC0415

    return execute_image(options)


def _execute_bundle(options: ExecuteOptions) -> int:
    _require_of_bundles(options)
    plan = plan_run(
        load_application(options.application),
        host=options.hosts[0],
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
    host, identity = HOSTS[options.hosts[0]](conf), client_identity(conf)
    wanted = Wanted(cas=options.cas, las=options.las, transfer=options.transfer, mode=options.mode)
    with (
        show_progress(sys.stderr, quiet=options.quiet) as progress,
        show_errors(progress),
        open_services(conf, wanted) as services,
    ):
        client = Client(identity=identity, services=services, progress=progress, random=secrets.token_bytes)
        result = client.execute(plan, host)
    sys.stderr.write(result.outcome.log)
    sys.stdout.write(_json(plan, result) if options.as_json else _text(plan, result))
    return result.outcome.exit_code


def _require_of_bundles(options: ExecuteOptions) -> None:
    if any(host not in HOSTS for host in options.hosts):
        raise InputError(
            f"{options.application} is a bundle, and bundles run on this machine alone; "
            f"the host is {', '.join(options.hosts)}",
            hint="on other hosts, applications are container images: name one, with its registry or tag",
        )
    given = [_WORDS.get(name, f"--{name}") for name, value in _OF_IMAGES.items() if getattr(options, name) != value]
    if given:
        raise InputError(f"{', '.join(given)}: bundles have no such option", hint="it is for container images")


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
