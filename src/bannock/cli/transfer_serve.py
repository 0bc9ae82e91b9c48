"""``bannock transfer serve``: serve files on their way, in the manner of transfer.sh."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.logs import log_to_stderr
from bannock.cli.options import Parser
from bannock.errors import BannockError, InputError
from bannock.execution.transfer.service import TransferService
from bannock.execution.transfer.store import StoreLimits, TransferStore
from bannock.files import read_bounded, read_private
from bannock.net.address import Address
from bannock.net.server import Endpoint, bind_tcp, run
from bannock.net.tls import Identity

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_PORT: Final = 8080
_DEFAULTS: Final = StoreLimits()
_GIB: Final = 1 << 30
_PEM_BYTES_MAX: Final = 1 << 20
_SWEEP_SECONDS: Final = 600.0
_log = logging.getLogger(__name__)

_DESCRIPTION: Final = """\
Keep files for a while and give them to whoever has their URL, which nobody can guess. What passes through here is
encrypted by its senders; the service is not trusted with anything.

  PUT /NAME               keep a file; answers its URL, and in X-Url-Delete the one that deletes it
                          headers: Max-Days, Max-Downloads
  POST /                  keep the files of a form (curl -F filedata=@FILE)
  GET, HEAD /ID/NAME      fetch it, also in parts (Range), or ask for its size
  DELETE /ID/NAME/TOKEN   delete it"""
_EXAMPLES: Final = """\
  bannock transfer serve --directory /srv/transfer --listen 0.0.0.0:8080 --url http://files.example:8080
  bannock transfer serve --directory /srv/transfer --listen 0.0.0.0:443 --certificate chain.pem --key key.pem
  curl --upload-file photo.jpg http://files.example:8080/photo.jpg
  bannock execute --application copy_demo -r http://files.example:8080 --host caroline --input IN --output OUT"""


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
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="PEM, with its chain: serve HTTPS (TLS 1.3)")
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="PEM, the certificate's private key, which is yours alone"
    )
    parsed = parser.parse_args(arguments)
    identity = _identity(parsed.certificate, parsed.key)
    limits = StoreLimits(file_bytes=parsed.max_file * _GIB, total_bytes=parsed.max_total * _GIB, days=parsed.max_days)
    log_to_stderr()
    store = TransferStore(parsed.directory, limits, now=time.time())
    address = Address.parse(parsed.listen, default_port=_PORT)
    sock = bind_tcp(address)
    place = Address(address.host, int(sock.getsockname()[1]))
    service = TransferService(store, base_url=parsed.url.rstrip("/") if parsed.url else None)

    def ready() -> None:
        sys.stdout.write(f"transfer service at {'http' if identity is None else 'https'}://{place}\n")
        sys.stdout.flush()

    ended = threading.Event()
    sweeper = threading.Thread(target=_sweep, args=(store, ended), name="bannock-sweep", daemon=True)
    sweeper.start()
    try:
        run(Endpoint(app=service, sock=sock, identity=identity), ready=ready)
    finally:
        ended.set()
        sweeper.join()
    return 0


def _identity(certificate: Path | None, key: Path | None) -> Identity | None:
    """Read what the service shows itself with."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InputError("--certificate and --key belong together")
    return Identity.from_pem(read_private(key) + b"\n" + read_bounded(certificate, _PEM_BYTES_MAX))


def _sweep(store: TransferStore, ended: threading.Event) -> None:
    """Remove what has expired also when nothing else happens."""
    while not ended.wait(_SWEEP_SECONDS):
        try:
            store.sweep(time.time())
        except BannockError as error:
            _log.error("files that have expired cannot be removed: %s", error)
