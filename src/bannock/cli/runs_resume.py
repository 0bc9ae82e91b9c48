"""``bannock runs resume``: go on with a run that was left."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.execute_options import mode_in
from bannock.cli.options import Parser, add_quiet, conf_directory
from bannock.cli.run_parts import open_conductor, result_json, result_text
from bannock.execution.hosts.here import LOCAL
from bannock.execution.runs.book import RunBook
from bannock.execution.runs.conductor import external_cas, own_enclave_port
from bannock.images.places import Places

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Go on with a run that was broken off: by the end of this machine, a lost connection, a host, a CAS or a service that
was away, a disk that was full. What is done already is not done again; what was uploaded in part is encrypted anew,
under new keys. A container that was ended from outside is started again, and its program finds the outputs that it
had written. Ends as `bannock execute` does."""
_EXAMPLES: Final = """\
  bannock runs resume blender-3f9a1c7e02b4"""


def main(arguments: Sequence[str]) -> int:
    """Parse, go on, tell the result on standard output, and return the application's exit code."""
    parser = Parser("runs resume", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="its name, as `bannock runs list` shows it")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="keys and state ($BANNOCK_HOME or ~/.config/bannock)")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the result as JSON")
    add_quiet(parser)
    parsed = parser.parse_args(arguments)
    conf, mode = conf_directory(parsed.conf, os.environ), mode_in(os.environ)
    with RunBook(conf).open(parsed.run) as run:
        # Before a CAS is started that another process has already.
        record = run.record
    port = own_enclave_port(record, LOCAL)
    with (
        closing(Places.prepared(environment=os.environ)) as places,
        open_conductor(conf, mode, external_cas(record), enclave_port=port, quiet=parsed.quiet) as conductor,
    ):
        result = conductor.resume(parsed.run, lambda: places.open(record.application))
    sys.stderr.write(result.log)
    sys.stdout.write(result_json(result) if parsed.as_json else result_text(result, record.output))
    return result.exit_code
