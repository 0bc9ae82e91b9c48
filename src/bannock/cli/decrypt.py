"""``bannock decrypt``: open what came of an application that somebody else has started."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.dapp_options import directory_in
from bannock.cli.options import Parser, add_quiet, conf_directory
from bannock.cli.progress import amount, show_errors, show_progress
from bannock.execution.dapps.client import PushedBook, open_outputs
from bannock.execution.services import client_identity

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Decrypt what an application has written whose inputs `bannock encryptedpush` has sent: in the state that the CAS knows,
and in no other. The file is encryptedOutputFiles.zip, or any .zip file that a run or a worker of iExec has made."""
_EXAMPLES: Final = """\
  curl -L --output ZIP/encryptedOutputFiles.zip URL
  bannock decrypt --encrypted ZIP --output OUTPUTS"""


def main(arguments: Sequence[str]) -> int:
    """Parse, decrypt, tell."""
    parser = Parser("decrypt", _DESCRIPTION, _EXAMPLES)
    add = parser.add_argument
    add("--encrypted", type=Path, metavar="DIR", help="where the file is ($BANNOCK_ENCRYPTED)")
    add("--output", type=Path, metavar="DIR", help="where to decrypt it ($BANNOCK_OUTPUT)")
    add("--sessionID", dest="session", metavar="SESSION", help="which run it is of (the newest)")
    add("--forget", action="store_true", help="forget the keys afterwards")
    add("--conf", type=Path, metavar="DIR", help="keys and state ($BANNOCK_HOME or ~/.config/bannock)")
    add_quiet(parser)
    parsed = parser.parse_args(arguments)
    environment = os.environ
    conf = conf_directory(parsed.conf, environment)
    directory = directory_in("--encrypted", parsed.encrypted, "BANNOCK_ENCRYPTED", environment)
    target = directory_in("--output", parsed.output, "BANNOCK_OUTPUT", environment)
    book = PushedBook(conf)
    pushed = book.find(parsed.session)
    with (
        show_progress(sys.stderr, quiet=parsed.quiet) as progress,
        show_errors(progress),
        progress.stage("decrypt") as stage,
    ):
        extracted, changed = open_outputs(pushed, directory, target, client_identity(conf), observer=stage.advance)
    sys.stdout.write(f"{extracted.files} entries, {amount(extracted.bytes)}, decrypted into {target}\n")
    if not changed:
        sys.stderr.write(
            "the CAS knows of no change to the outputs: the application has written nothing, or did not run\n"
        )
    if parsed.forget:
        book.forget(pushed)
    return 0
