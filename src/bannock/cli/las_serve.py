"""``bannock las serve``: serve the local attestation service of this host."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.logs import log_to_stderr
from bannock.cli.options import Parser, conf_directory
from bannock.files import private_directory
from bannock.las.service import serve
from bannock.net.address import Address

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_PORT: Final = 18766

_DESCRIPTION: Final = """\
Serve reports of enclaves on this host: the service measures the process that asks, by the kernel's word and not by the
process's, and signs what it found. There is one platform so far, `sim`, which proves nothing to others than the owner
of this machine."""
_EXAMPLES: Final = """\
  bannock las serve
  bannock las serve --unix /run/las.sock --no-tcp"""


def main(arguments: Sequence[str]) -> int:
    """Parse, serve until SIGINT or SIGTERM."""
    parser = Parser("las serve", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "--listen", default=f"127.0.0.1:{_PORT}", metavar="HOST[:PORT]", help=f"default 127.0.0.1:{_PORT}"
    )
    parser.add_argument("--no-tcp", action="store_true", help="do not listen on TCP")
    parser.add_argument("--unix", type=Path, metavar="PATH", help="listen on a unix socket too")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="key of the LAS ($BANNOCK_HOME or ~/.config/bannock)")
    parsed = parser.parse_args(arguments)
    log_to_stderr()
    conf = private_directory(conf_directory(parsed.conf, os.environ))
    listen = None if parsed.no_tcp else Address.parse(parsed.listen, default_port=_PORT)
    places = [str(place) for place in (listen, parsed.unix and f"unix:{parsed.unix}") if place]

    def ready() -> None:
        sys.stdout.write(f"LAS at {', '.join(places)}\n")
        sys.stdout.flush()

    serve(conf / "las", listen=listen, unix=parsed.unix, ready=ready)
    return 0
