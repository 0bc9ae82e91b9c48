"""The LAS: measures the process that asks, and signs a report of it.

On platform ``sim`` the signature is worth what this host's word is worth, and the service says so at its start. Where
a platform vouches for the machine, the part of a measurement that is the runtime's build is this installation's, and a
process that is not that runtime gets no report (:mod:`bannock.las.runtime_peer`).
"""

from __future__ import annotations

import logging
import signal
import tempfile
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from bannock.errors import DeniedError, InputError
from bannock.evidence.las_client import asking_name, short_socket_path
from bannock.evidence.platforms import Activatable, SimulatedAttester
from bannock.evidence.quotes import quote_to_json
from bannock.evidence.report import Report
from bannock.identity.measure import measure
from bannock.identity.reader import RootedReader
from bannock.identity.runtime_build import runtime_build
from bannock.identity.signer import SignedIdentity
from bannock.las.key import kept_key
from bannock.las.renewal import RENEW_HOURS, Renewal
from bannock.las.runtime_peer import Installation
from bannock.las.web import web_application
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp, bind_unix, run
from bannock.policy.canonical import canonical_json
from bannock.policy.claims import SIMULATED, platform_name

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from bannock.evidence.platforms import ReportAttester
    from bannock.identity.manifest import EnclaveManifest
    from bannock.identity.tree import MeasurementTree
    from bannock.las.process import PeerProcess
    from bannock.net.address import Address

__all__ = ["EmbeddedLas", "Las", "PeerRule", "serve"]

_log = logging.getLogger("bannock.las")


class PeerRule(Protocol):
    """Says which processes get reports."""

    def require_runtime(self, process: PeerProcess, /) -> None:
        """Refuse a process that is not the runtime.

        Raises:
            DeniedError: it is not, or cannot be looked into.
        """


class Las:
    """One LAS; its methods may be called from any thread.

    Args:
        attester: signs its reports.
        peers: which processes get reports.
    """

    def __init__(self, attester: ReportAttester, peers: PeerRule | None = None) -> None:
        self.attester = attester
        self._peers = peers or Installation()
        # Where the host can make up all it wants, refusing programs to it protects nobody; it is told, and no more.
        self._insists = attester.platform != SIMULATED or attester.rehearses is not None
        self._build = runtime_build()
        if attester.platform == SIMULATED:
            _log.warning(
                "platform %s: reports of this LAS protect nothing from whoever rules this host",
                platform_name(attester.platform, attester.rehearses),
            )

    def platform(self) -> bytes:
        """Say what attests this machine: platform, quote and what came along with it, as JSON."""
        quote, endorsements = self.attester.vouched()
        return canonical_json(
            {
                "platform": self.attester.platform,
                "rehearses": self.attester.rehearses,
                "quote": quote_to_json(quote),
                "endorsements": b64encode(endorsements).decode("ascii"),
            }
        )

    def activate(self, challenge: bytes) -> None:
        """Answer the challenge of an authority, which vouches for the key of this machine's hardware from then on.

        Whoever sends one learns nothing: what the hardware opens is a certificate, and stays here.

        Raises:
            DeniedError: nothing has to be activated here.
            EvidenceError: the challenge is malformed, or not for this machine.
            EnvironmentFault: the hardware does not answer.
        """
        if not isinstance(self.attester, Activatable):
            raise DeniedError(f"platform {self.attester.platform} has no key that had to be activated")
        self.attester.activate(challenge)
        _log.info("an authority vouches for the key of this machine's hardware")

    def report(
        self, process: PeerProcess, manifest: EnclaveManifest, data: bytes, *, before: MeasurementTree | None = None
    ) -> tuple[bytes, MeasurementTree]:
        """Measure a process, and return the signed report in its envelope and what was found.

        Args:
            process: whose files are measured, as it sees them.
            manifest: what to measure.
            data: the 64 bytes that the report is bound to.
            before: what was found when this process was measured by this manifest before, on a connection that has
                been its own since. It stands where the process cannot be looked into any more.

        Raises:
            DeniedError: the process is not the runtime, or cannot be looked into, or ended meanwhile.
            InputError: the manifest names what is not there, or cannot be measured.
            EvidenceError: its signature does not hold.
        """
        self._require_asking(process, data)
        try:
            self._require_runtime(process)
            with process.root() as root:
                tree = measure(manifest, RootedReader(root, process.rights()), self._build)
        except DeniedError as error:
            if before is None or not isinstance(error.__cause__, PermissionError):
                raise
            tree = before
        # And still: so what was looked at is what has asked, and no program that it became meanwhile.
        self._require_asking(process, data)
        signed = SignedIdentity.of(manifest, tree.root)
        report = Report(
            measurement=tree.root,
            signer=signed.signer,
            product_id=signed.product_id,
            svn=signed.svn,
            debug=signed.debug,
            data=data,
            instance=process.instance(),
        )
        evidence = self.attester.attest(report).to_json()
        _log.info("process %d: MRENCLAVE %s (%r)", process.number, tree.root, manifest.binary)
        return evidence, tree

    def _require_asking(self, process: PeerProcess, data: bytes) -> None:
        if self._insists and asking_name(data) not in process.thread_names():
            raise DeniedError(
                f"process {process.number} is at the other end of this connection, and has not asked for this report",
                hint="LAS and runtime have to be of one version; else somebody else asks in its name",
            )

    def _require_runtime(self, process: PeerProcess) -> None:
        try:
            self._peers.require_runtime(process)
        except DeniedError as error:
            if self._insists:
                raise
            _log.debug("%s; on platform sim it gets a report all the same", error)


class EmbeddedLas:
    """A LAS inside of another program, on a unix socket that only its user reaches; a context manager.

    Attributes:
        address: where it answers, as :class:`~bannock.evidence.las_client.LasClient` takes it.
    """

    def __init__(
        self,
        directory: Path,
        attester: ReportAttester | None = None,
        peers: PeerRule | None = None,
        *,
        socket: Path | None = None,
    ) -> None:
        """Make one.

        Args:
            directory: where the key is kept.
            attester: signs its reports; None for platform ``sim``.
            peers: which processes get reports; None for the runtime alone, where it matters.
            socket: where it answers, in a directory that is the user's alone; None: in a new one.

        Raises:
            InputError, EnvironmentFault: the directory or the key in it is not usable.
        """
        self._app = web_application(Las(attester or SimulatedAttester(kept_key(directory)), peers))
        self._resources = ExitStack()
        self._socket = socket
        self.address = ""

    def start(self) -> None:
        """Answer from now on.

        Raises:
            EnvironmentFault: the service does not come up.
        """
        with ExitStack() as resources:
            path = self._socket
            if path is None:
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
    attester: ReportAttester,
    *,
    listen: Address | None,
    unix: Path | None,
    renew_hours: float = RENEW_HOURS,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGINT or SIGTERM; SIGHUP renews key and quote. On the main thread of a program.

    Args:
        attester: signs its reports.
        listen: a TCP address of this host; None for none.
        unix: the path of a unix socket, open to every user (who asks is measured, whoever it is); None for none.
        renew_hours: for how long key and quote are in force.
        ready: called when the service answers.

    Raises:
        InputError: neither address is given.
        EnvironmentFault: an address is taken.
    """
    if listen is None and unix is None:
        raise InputError("a LAS needs an address to listen on")
    app = web_application(Las(attester))
    with ExitStack() as resources:
        bound = [] if listen is None else [resources.enter_context(bind_tcp(listen))]
        bound += [] if unix is None else [resources.enter_context(_bind(unix, mode=0o666))]
        renewal = resources.enter_context(Renewal(attester, renew_hours))
        signal.signal(signal.SIGHUP, lambda *_: renewal.now())
        run(*(Endpoint(app=app, sock=sock) for sock in bound), ready=ready)


def _bind(path: Path, *, mode: int) -> socket.socket:
    with short_socket_path(path) as short:
        return bind_unix(short, mode=mode)
