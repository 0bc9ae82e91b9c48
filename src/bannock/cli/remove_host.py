"""``bannock remove-host``: forget a host and its keys."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.host_options import add_alias, add_conf, chosen_alias
from bannock.cli.options import Parser, conf_directory
from bannock.execution.hosts.adding import revoke_line
from bannock.execution.hosts.book import HostBook

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Forget a host: its record, the key pair that was made for it, and its pinned key. The host itself is not asked; the
line that is printed takes the key away from it."""
_EXAMPLES: Final = """\
  bannock remove-host caroline
  eval "$(bannock remove-host caroline)\""""


def main(arguments: Sequence[str]) -> int:
    """Parse, remove, and print the line that revokes access."""
    parser = Parser("remove-host", _DESCRIPTION, _EXAMPLES)
    add_alias(parser)
    add_conf(parser)
    parsed = parser.parse_args(arguments)
    alias = chosen_alias(parsed)
    record, public = HostBook(conf_directory(parsed.conf, os.environ)).remove(alias)
    sys.stdout.write(f"{revoke_line(record, public)}\n")
    sys.stderr.write(f"host {alias} is forgotten, with its keys\n")
    return 0
