"""``bannock encryptedpush``: encrypt inputs and send them, for an application that somebody else starts."""

from __future__ import annotations

import json
import os
import secrets
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.dapp_options import directory_in, known_cas
from bannock.cli.options import Parser, add_quiet, conf_directory, pairs
from bannock.cli.progress import show_errors, show_progress
from bannock.errors import InputError
from bannock.execution.dapps.client import PushedBook, Pusher
from bannock.execution.dapps.single_file import service_url
from bannock.execution.image_application import application_of, facts_of
from bannock.execution.services import client_identity
from bannock.files import private_directory, read_bounded, write_atomically
from bannock.images.places import Places

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bannock.execution.dapps.client import Pushed
    from bannock.execution.image_application import ImageApplication

__all__ = ["main"]

_DOCUMENT_BYTES_MAX: Final = 1 << 20
_DESCRIPTION: Final = """\
Encrypt a directory, send it to a transfer service, make the session of a run, and print what the application's
container is to be started with, by whoever starts it: `docker run IMAGE $(bannock encryptedpush …) --push SERVICE`, or
a worker of iExec. Keys stay in the configuration (--conf); `bannock decrypt` opens with them what comes back."""
_EXAMPLES: Final = """\
  bannock encryptedpush --application registry.example/copy_dapp --inputDataFolder INPUTS \\
      --secretManagementService cas.example --remoteFileSystem transfer.example
  bannock encryptedpush -a copy_dapp -t copy_dapp.yml -r https://transfer.example --iexec requestorder.json"""


def main(arguments: Sequence[str]) -> int:
    """Parse, encrypt, send, print."""
    parsed = _parse(arguments)
    environment = os.environ
    conf = private_directory(conf_directory(parsed.conf, environment))
    source = directory_in("--inputDataFolder", parsed.source, "BANNOCK_INPUT", environment)
    if not source.is_dir():
        raise InputError(f"the input {source} is not a directory")
    transfer = parsed.transfer or environment.get("BANNOCK_TRANSFER")
    if not transfer:
        raise InputError("no transfer service is named", hint="--remoteFileSystem HOST, or in $BANNOCK_TRANSFER")
    variables = pairs("--env", parsed.env, environment)
    cas = known_cas(parsed.cas, parsed.cas_key, parsed.cas_enclave)
    with show_progress(sys.stderr, quiet=parsed.quiet) as progress, show_errors(progress):
        with progress.stage("look at the image"):
            application = _application(parsed, variables)
        pusher = Pusher(identity=client_identity(conf), cas=cas, book=PushedBook(conf), random=secrets.token_bytes)
        with progress.stage("encrypt and send") as stage:
            pushed = pusher.push(
                application,
                source,
                service_url(transfer),
                variables=variables,
                sessions=tuple(map(_document, parsed.session)),
                verified=not parsed.insecure,
                observer=stage.advance,
            )
    if parsed.iexec is not None:
        write_atomically(parsed.iexec, _order(pushed), mode=0o644)
    sys.stdout.write(f" {pushed.command}\n")
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("encryptedpush", _DESCRIPTION, _EXAMPLES)
    add = parser.add_argument
    add("-a", "--application", required=True, metavar="IMAGE", help="what will be run")
    add("--inputDataFolder", "--input", dest="source", type=Path, metavar="DIR", help="its inputs ($BANNOCK_INPUT)")
    add("-s", "--secretManagementService", "--cas", dest="cas", metavar="HOST[:PORT]",
        help="client interface of the CAS ($SCONE_CAS_ADDR, or the default one)")  # fmt: skip
    add("--cas-key", metavar="HASH", help="the key hash that it must have; else it is attested")
    add("--cas-enclave", metavar="HOST[:PORT]", help="its enclave interface, as the application reaches it")
    add("-t", "--sessiontemplate", "--template", dest="template", type=Path, metavar="FILE",
        help="template of the session, in place of the image's own")  # fmt: skip
    add("--env", action="append", default=[], metavar="NAME[=VALUE]", help="a variable of the template")
    add("--session", type=Path, action="append", default=[], metavar="FILE", help="a session that the CAS has to have")
    add("-r", "--remoteFileSystem", "--transfer", dest="transfer", metavar="SERVICE",
        help="a transfer service in the manner of transfer.sh ($BANNOCK_TRANSFER)")  # fmt: skip
    add("-k", "--insecure", action="store_true", help="do without the certificate of the transfer service")
    add("-v", "--verbose", action="store_true", help="taken for compatibility: what is done is told on standard error")
    add("--iexec", type=Path, metavar="FILE", help="write the parameters of an iExec request order, too")
    add("--conf", type=Path, metavar="DIR", help="keys and state ($BANNOCK_HOME or ~/.config/bannock)")
    add_quiet(parser)
    return parser.parse_args(arguments)


def _application(parsed: argparse.Namespace, variables: dict[str, str]) -> ImageApplication:
    template = None if parsed.template is None else _document(parsed.template)
    with closing(Places.prepared(environment=os.environ)) as places:
        image = places.open(parsed.application)
        facts, tree = facts_of(image)
        return application_of(parsed.application, facts, tree, template=template, variables=variables)


def _document(path: Path) -> str:
    try:
        return read_bounded(path, _DOCUMENT_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8") from None


def _order(pushed: Pushed) -> bytes:
    """Return what a request order has of a run: its worker fetches the file, and gives its name to the application."""
    params = {
        "iexec_args": pushed.command.rpartition(" --url ")[0],
        "iexec_input_files": [pushed.url],
    }
    return f"{json.dumps({'params': params}, indent=2)}\n".encode()
