"""``bannock remove-host``: forget a host and its keys."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.host_options import add_alias, add_conf, chosen_alias
from bannock.cli.options import Parser, conf_directory
from bannock.execution.hosts.removing import remove_host

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Forget a host: its record, the key pair that was made for it, and its pinned key. The host itself is not asked; the
line that is printed takes the key away from it. A host with runs that are not done is not forgotten."""
_EXAMPLES: Final = """\
  bannock remove-host caroline
  eval "$(bannock remove-host caroline)\""""


def main(arguments: Sequence[str]) -> int:
    """Parse, remove, and print the line that revokes access."""
    parser = Parser("remove-host", _DESCRIPTION, _EXAMPLES)
    add_alias(parser)
    add_conf(parser)
    parser.add_argument("--force", action="store_true", help="also if runs on it are not done")
    parsed = parser.parse_args(arguments)
    alias = chosen_alias(parsed)
    line = remove_host(conf_directory(parsed.conf, os.environ), alias, force=parsed.force)
    sys.stdout.write(f"{line}\n")
    sys.stderr.write(f"host {alias} is forgotten, with its keys\n")
    return 0
