"""``bannock list-hosts``: the hosts that were added."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.host_options import add_conf
from bannock.cli.options import Parser, conf_directory
from bannock.execution.hosts.book import HostBook

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
List the hosts that were added: alias, who one is where, when it was added, and its pinned key. Nobody is asked; this
machine is always there as `local`."""
_EXAMPLES: Final = """\
  bannock list-hosts"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print a line for each."""
    parser = Parser("list-hosts", _DESCRIPTION, _EXAMPLES)
    add_conf(parser)
    parser.add_argument("--json", action="store_true", dest="as_json", help="print them as JSON")
    parsed = parser.parse_args(arguments)
    book = HostBook(conf_directory(parsed.conf, os.environ))
    hosts = [
        {
            "alias": record.alias,
            "hostname": record.hostname,
            "user": record.user,
            "port": record.port,
            "engine": record.engine,
            "las": record.las,
            "added": record.added,
            "host_keys": list(book.pinned(record.alias)),
        }
        for record in book.all()
    ]
    if parsed.as_json:
        sys.stdout.write(f"{json.dumps(hosts, indent=2)}\n")
        return 0
    for host, record in zip(hosts, book.all(), strict=True):
        keys = ", ".join(book.pinned(record.alias)) or "not met so far"
        sys.stdout.write(f"{host['alias']}  {book.target(record.alias)}  added {host['added']}  {keys}\n")
    return 0
