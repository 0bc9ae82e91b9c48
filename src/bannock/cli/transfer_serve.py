"""``bannock transfer serve``: serve files on their way, in the manner of transfer.sh."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.logs import log_to_stderr
from bannock.cli.options import Parser
from bannock.execution.transfer.service import TransferService
from bannock.execution.transfer.store import StoreLimits, TransferStore
from bannock.net.address import Address
from bannock.net.server import Endpoint, bind_tcp, run

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_PORT: Final = 8080
_DEFAULTS: Final = StoreLimits()
_GIB: Final = 1 << 30

_DESCRIPTION: Final = """\
Keep files for a while and give them to whoever has their URL, which nobody can guess. What passes through here is
encrypted by its senders; the service is not trusted with anything.

  PUT /NAME               keep a file; answers its URL, and in X-Url-Delete the one that deletes it
                          headers: Max-Days, Max-Downloads
  GET, HEAD /ID/NAME      fetch it, or ask for its size
  DELETE /ID/NAME/TOKEN   delete it"""
_EXAMPLES: Final = """\
  bannock transfer serve --directory /srv/transfer --listen 0.0.0.0:8080 --url http://files.example:8080
  curl --upload-file photo.jpg http://files.example:8080/photo.jpg"""


def main(arguments: Sequence[str]) -> int:
    """Parse, serve until SIGINT or SIGTERM."""
    parser = Parser("transfer serve", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--directory", type=Path, required=True, metavar="DIR", help="where files are kept (0700)")
    parser.add_argument(
        "--listen", default=f"127.0.0.1:{_PORT}", metavar="HOST[:PORT]", help=f"default 127.0.0.1:{_PORT}"
    )
    parser.add_argument("--url", metavar="URL", help="what URLs begin with (default: what the client called us)")
    parser.add_argument("--max-file", type=int, default=_DEFAULTS.file_bytes // _GIB, metavar="GIB", help="a file")
    parser.add_argument(
        "--max-total", type=int, default=_DEFAULTS.total_bytes // _GIB, metavar="GIB", help="all files"
    )
    parser.add_argument("--max-days", type=int, default=_DEFAULTS.days, metavar="DAYS", help="how long files are kept")
    parsed = parser.parse_args(arguments)
    limits = StoreLimits(file_bytes=parsed.max_file * _GIB, total_bytes=parsed.max_total * _GIB, days=parsed.max_days)
    log_to_stderr()
    store = TransferStore(parsed.directory, limits, now=time.time())
    address = Address.parse(parsed.listen, default_port=_PORT)
    sock = bind_tcp(address)
    place = Address(address.host, int(sock.getsockname()[1]))
    service = TransferService(store, base_url=parsed.url.rstrip("/") if parsed.url else None)

    def ready() -> None:
        sys.stdout.write(f"transfer service at http://{place}\n")
        sys.stdout.flush()

    run(Endpoint(app=service, sock=sock), ready=ready)
    return 0
