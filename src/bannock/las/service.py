"""The LAS: measures the process that asks, and signs a report of it.

On platform ``sim`` the signature is worth what this host's word is worth, and the service says so at its start. The
part of a measurement that is the runtime's build is this installation's, and that the process is that runtime is not
looked into: whoever rules the host could forge either.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import InputError
from bannock.evidence.attester import SimAttester
from bannock.evidence.las_client import short_socket_path
from bannock.evidence.report import Report
from bannock.files import private_directory
from bannock.identity.measure import measure, runtime_build
from bannock.identity.reader import RootedReader
from bannock.las.key import load_or_make_key
from bannock.las.web import web_application
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp, bind_unix, run
from bannock.values import Measurement

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from bannock.identity.manifest import EnclaveManifest
    from bannock.identity.tree import MeasurementTree
    from bannock.las.process import PeerProcess
    from bannock.net.address import Address

__all__ = ["EmbeddedLas", "Las", "serve"]

_log = logging.getLogger("bannock.las")

_KEY_FILE: Final = "las-key.pem"
#: What is not signed by anybody has this as its MRSIGNER.
_NO_SIGNER: Final = Measurement(bytes(32))


class Las:
    """One LAS with its key; :meth:`report` may be called from any thread.

    Args:
        directory: where the key is kept, made if it is not there.

    Raises:
        InputError, EnvironmentFault: the directory or the key in it is not usable.
    """

    def __init__(self, directory: Path) -> None:
        self._attester = SimAttester(load_or_make_key(private_directory(directory) / _KEY_FILE))
        self._build = runtime_build()
        _log.warning("platform sim: reports of this LAS protect nothing from whoever rules this host")

    def report(self, process: PeerProcess, manifest: EnclaveManifest, data: bytes) -> tuple[bytes, MeasurementTree]:
        """Measure a process, and return the signed report in its envelope and what was found.

        Args:
            process: whose files are measured, as it sees them.
            manifest: what to measure.
            data: the 64 bytes that the report is bound to.

        Raises:
            DeniedError: the process cannot be looked into, or ended meanwhile.
            InputError: the manifest names what is not there, or cannot be measured.
        """
        with process.root() as root:
            tree = measure(manifest, RootedReader(root, process.rights()), self._build)
        report = Report(measurement=tree.root, signer=_NO_SIGNER, product_id=0, svn=0, debug=False, data=data)
        _log.info("process %d: MRENCLAVE %s (%r)", process.number, tree.root, manifest.binary)
        return self._attester.attest(report).to_json(), tree


class EmbeddedLas:
    """A LAS inside of another program, on a unix socket that only its user reaches; a context manager.

    Attributes:
        address: where it answers, as :class:`~bannock.evidence.las_client.LasClient` takes it.
    """

    def __init__(self, directory: Path) -> None:
        self._app = web_application(Las(directory))
        self._resources = ExitStack()
        self.address = ""

    def start(self) -> None:
        """Answer from now on.

        Raises:
            EnvironmentFault: the service does not come up.
        """
        with ExitStack() as resources:
            # Not in the LAS's own directory, whose path may be too long for a socket; this one is private, too.
            private = resources.enter_context(tempfile.TemporaryDirectory(prefix="bannock-las-"))
            path = Path(private) / "las.sock"
            resources.enter_context(ThreadedServer(Endpoint(app=self._app, sock=_bind(path, mode=0o600))))
            self._resources = resources.pop_all()
        self.address = f"unix:{path}"

    def stop(self) -> None:
        """Stop answering; a second time it does nothing."""
        self._resources.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve(
    directory: Path, *, listen: Address | None, unix: Path | None, ready: Callable[[], None] = lambda: None
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        directory: where the key is kept.
        listen: a TCP address of this host; None for none.
        unix: the path of a unix socket, open to every user (who asks is measured, whoever it is); None for none.
        ready: called when the service answers.

    Raises:
        InputError: neither address is given.
        EnvironmentFault: an address is taken.
    """
    if listen is None and unix is None:
        raise InputError("a LAS needs an address to listen on")
    app = web_application(Las(directory))
    with ExitStack() as sockets:
        bound = [] if listen is None else [sockets.enter_context(bind_tcp(listen))]
        bound += [] if unix is None else [sockets.enter_context(_bind(unix, mode=0o666))]
        run(*(Endpoint(app=app, sock=sock) for sock in bound), ready=ready)


def _bind(path: Path, *, mode: int) -> socket.socket:
    with short_socket_path(path) as short:
        return bind_unix(short, mode=mode)
