"""``bannock runs list``: runs that are not done."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser, conf_directory
from bannock.execution.runs.book import RunBook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.execution.runs.record import RunRecord

__all__ = ["main"]

_DESCRIPTION: Final = """\
List the runs of images that are not done: those that some process works on, and those that were left, for `bannock
runs resume` and `bannock runs cancel`. No host is asked."""
_EXAMPLES: Final = """\
  bannock runs list"""
_DONE: Final = {
    "planned": "nothing is done yet",
    "created": "the container is made",
    "uploaded": "the inputs are uploaded",
    "session": "the session is created",
    "started": "the program may be running",
    "ended": "the program has ended, its outputs are to be fetched",
    "fetched": "the outputs are here, what is left on the host is to be removed",
}


def main(arguments: Sequence[str]) -> int:
    """Parse, print a line for each run."""
    parser = Parser("runs list", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--conf", type=Path, metavar="DIR", help="keys and state ($BANNOCK_HOME or ~/.config/bannock)")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print them as JSON")
    parsed = parser.parse_args(arguments)
    book = RunBook(conf_directory(parsed.conf, os.environ))
    runs = [(record, book.is_busy(record.name)) for record in book.all()]
    if parsed.as_json:
        sys.stdout.write(f"{json.dumps([_document(record, busy) for record, busy in runs], indent=2)}\n")
        return 0
    for record, busy in runs:
        who = "is worked on" if busy else "was left"
        sys.stdout.write(
            f"{record.name}  {record.state.value}  on {record.host}  since {record.made}  {who}: "
            f"{_DONE[record.state.value]}\n"
        )
    return 0


def _document(record: RunRecord, busy: bool) -> dict[str, object]:  # noqa: FBT001 - one of two facts of a run
    return {
        "run": record.name,
        "state": record.state.value,
        "busy": busy,
        "host": record.host,
        "application": record.application,
        "made": record.made,
        "input": record.input,
        "output": record.output,
        "session": record.session,
        "exit_code": record.exit_code,
    }
