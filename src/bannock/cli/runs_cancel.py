"""``bannock runs cancel``: take runs away."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser, add_quiet, conf_directory
from bannock.cli.progress import show_progress
from bannock.execution.hosts.book import HostBook
from bannock.execution.runs.book import RunBook
from bannock.execution.runs.conductor import cancel_run

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Take runs away: their containers are stopped and removed, with inputs and outputs; what is on its way is deleted, and
so are the keys. Outputs that were not fetched are lost. Nothing of a run is left but its session in the CAS."""
_EXAMPLES: Final = """\
  bannock runs cancel blender-3f9a1c7e02b4"""


def main(arguments: Sequence[str]) -> int:
    """Parse, take them away."""
    parser = Parser("runs cancel", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("run", nargs="+", metavar="RUN", help="names, as `bannock runs list` shows them")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="keys and state ($BANNOCK_HOME or ~/.config/bannock)")
    parser.add_argument(
        "--forget",
        action="store_true",
        help="forget it also where its host cannot be reached",
    )
    add_quiet(parser)
    parsed = parser.parse_args(arguments)
    conf = conf_directory(parsed.conf, os.environ)
    with show_progress(sys.stderr, quiet=parsed.quiet) as progress:
        for name in parsed.run:
            cancel_run(
                RunBook(conf), HostBook(conf), name, environment=os.environ, note=progress.note, forget=parsed.forget
            )
            sys.stdout.write(f"{name} is cancelled\n")
    return 0
