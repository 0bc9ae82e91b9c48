"""``bannock check-host``: find out what a host has, and what is missing for runs there."""

from __future__ import annotations

import os
import platform
import sys
import time
from typing import TYPE_CHECKING, Final

from bannock.cli.host_options import (
    add_alias,
    add_conf,
    chosen_alias,
    findings_json,
    findings_text,
    what_is_missing,
)
from bannock.cli.options import Parser, conf_directory
from bannock.errors import EnvironmentFault
from bannock.execution.hosts.book import HostBook
from bannock.execution.hosts.check import check_host
from bannock.execution.hosts.las_container import start_las, stop_las
from bannock.images.places import Places

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Connect to a host and look whether it has what runs need: a container engine that one may use, of the same
architecture, room on its disk, a LAS; and what is of use: /dev/fuse, devices that attest, a clock that is right. Ends
with an error if something is missing. `local` is this machine."""
_EXAMPLES: Final = """\
  bannock check-host caroline
  bannock check-host caroline --start-las bannock-las"""


def main(arguments: Sequence[str]) -> int:
    """Parse, look, tell; an error if something is missing."""
    parser = Parser("check-host", _DESCRIPTION, _EXAMPLES)
    add_alias(parser)
    add_conf(parser)
    parser.add_argument(
        "--start-las", metavar="IMAGE", help="first start a LAS there if none answers; the image is sent if need be"
    )
    parser.add_argument("--stop-las", action="store_true", help="first stop the LAS that was started there like this")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print findings as JSON")
    parsed = parser.parse_args(arguments)
    alias = chosen_alias(parsed)
    book = HostBook(conf_directory(parsed.conf, os.environ))
    if parsed.stop_las or parsed.start_las:
        with book.open(alias, os.environ) as machine:
            if parsed.stop_las and not stop_las(machine):
                sys.stderr.write(f"there was no LAS to stop on host {alias}\n")
            if parsed.start_las:
                with Places.prepared() as places:
                    attested = start_las(machine, parsed.start_las, places.open)
                sys.stderr.write(f"LAS on host {alias}: platform {attested}\n")
    findings = check_host(book, alias, os.environ, clock=time.time, machine=platform.machine())
    if parsed.as_json:
        sys.stdout.write(findings_json(alias, findings))
    else:
        sys.stdout.write("".join(f"{line}\n" for line in [f"host {alias}", *findings_text(findings, sys.stdout)]))
    if missing := what_is_missing(findings):
        raise EnvironmentFault(
            f"host {alias} lacks what runs need: {', '.join(missing)}",
            hint="the lines above that begin with an arrow say what to do",
        )
    return 0
