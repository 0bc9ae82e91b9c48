"""Serving a CAS: in this process, or in several that share its ports and its store.

Each process has sockets of its own on the ports (SO_REUSEPORT), so the kernel spreads connections over them. The one
that starts them serves nobody: it holds the ports, starts anew a process that ends, and ends them all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bannock.cas.client_api import client_application
from bannock.cas.enclave_api import enclave_application
from bannock.cas.master_key import Passphrase
from bannock.cas.metrics import SHARED_DIRECTORY, metrics_application
from bannock.cas.service import Cas
from bannock.errors import BannockError, Bug, EnvironmentFault, InputError, render
from bannock.linux import die_with_parent
from bannock.net.address import Address
from bannock.net.server import Endpoint, bind_tcp, run

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from bannock.cas.config import CasConfig

    #: Told of the CAS and where it listens, for clients and for enclaves, once it does.
    Ready = Callable[[Cas, tuple[Address, Address]], None]

__all__ = ["endpoints", "serve"]

_log = logging.getLogger(__name__)

WORKERS_MAX: Final = 64
#: How soon a process knows what another one was told by the owner.
_REFRESH_SECONDS: Final = 1.0
#: How often it is looked whether something that vendors vouch for ends soon.
_TEND_SECONDS: Final = 600.0
#: A process that lived shorter is started again after a pause.
_SHORT_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 15.0


def endpoints(cas: Cas, config: CasConfig, *, shared: bool = False) -> tuple[Endpoint, ...]:
    """Bind the sockets of the client API, of the enclave interface, and of the metrics if they are wished for.

    Args:
        cas: what listens.
        config: where.
        shared: whether other processes listen on the same ports.

    Raises:
        EnvironmentFault: an address cannot be had.
    """
    identity = cas.owner.shown_identity
    with contextlib.ExitStack() as undo:
        api, enclave = (_bind(address, undo, shared=shared) for address in (config.api, config.enclave))
        found = [
            Endpoint(app=client_application(cas, console=config.console), sock=api, identity=identity),
            Endpoint(app=enclave_application(cas), sock=enclave, identity=identity),
        ]
        if config.metrics is not None and cas.metrics is not None:
            sock = _bind(config.metrics, undo, shared=shared)
            found.append(Endpoint(app=metrics_application(cas.metrics), sock=sock))
        undo.pop_all()
    return tuple(found)


def _bind(address: Address, undo: contextlib.ExitStack, *, shared: bool) -> socket.socket:
    sock = bind_tcp(address, shared=shared)
    undo.callback(sock.close)
    return sock


def serve(config: CasConfig, *, ready: Ready, workers: int = 1) -> None:
    """Run a CAS until SIGINT or SIGTERM; on the main thread of a program that has no other.

    Args:
        config: how.
        ready: told of the CAS and where it listens, for clients and for enclaves, once it does.
        workers: how many processes serve it.

    Raises:
        BannockError: it does not start.
    """
    if not 1 <= workers <= WORKERS_MAX:
        raise InputError(f"a CAS is served by 1 to {WORKERS_MAX} processes, found {workers}")
    if workers > 1 and isinstance(config.protection, Passphrase) and config.protection.source.startswith("fd:"):
        raise InputError(
            "a passphrase from a descriptor can be read once, and several processes need it",
            hint="give it by file:PATH or env:NAME, or serve from one process",
        )
    if workers == 1:
        _serve_here(config, ready, shared=False)
    else:
        _Processes(config, ready, workers).run()


def _serve_here(config: CasConfig, ready: Ready, *, shared: bool) -> None:
    with Cas(config) as cas:
        listening = endpoints(cas, config, shared=shared)
        api, enclave = (int(endpoint.sock.getsockname()[1]) for endpoint in listening[:2])
        addresses = Address(config.api.host, api), Address(config.enclave.host, enclave)
        with _watching(cas):
            run(*listening, ready=lambda: ready(cas, addresses))


@contextlib.contextmanager
def _watching(cas: Cas) -> Iterator[None]:
    """Take over what the owner tells another process of this CAS, and keep what vendors vouch for from ending."""
    stop = threading.Event()

    def watch() -> None:
        tended = time.monotonic()
        while not stop.wait(_REFRESH_SECONDS):
            if time.monotonic() - tended >= _TEND_SECONDS:
                tended = time.monotonic()
                cas.tend()
            try:
                cas.owner.refresh()
            except BannockError as error:
                _log.warning("the owner's configuration cannot be looked at now: %s", error)

    thread = threading.Thread(target=watch, name="bannock-owner", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class _Processes:
    """Processes that serve one CAS together."""

    def __init__(self, config: CasConfig, ready: Ready, workers: int) -> None:
        self._config = config
        self._ready = ready
        self._workers = workers
        self._started: dict[int, float] = {}

    def run(self) -> None:
        """Start them one after the other, and keep them running."""
        with contextlib.ExitStack() as held:
            self._config = self._hold_ports(held)
            counting = held.enter_context(tempfile.TemporaryDirectory(prefix="bannock-cas-metrics-"))
            os.environ[SHARED_DIRECTORY] = counting
            held.callback(os.environ.pop, SHARED_DIRECTORY, None)
            try:
                for number in range(self._workers):
                    self._start(ready=self._ready if number == self._workers - 1 else None)
                    # An older database is accepted once.
                    self._config = replace(self._config, accept_rollback=False)
                self._keep()
            except KeyboardInterrupt:
                _log.info("ending %d processes", len(self._started))
            finally:
                self._stop()

    def _hold_ports(self, held: contextlib.ExitStack) -> CasConfig:
        """Bind the ports without listening: they stay ours, and 0 becomes a number that all processes have."""
        config = self._config
        return replace(
            config,
            api=_held(config.api, held),
            enclave=_held(config.enclave, held),
            metrics=None if config.metrics is None else _held(config.metrics, held),
        )

    def _start(self, *, ready: Ready | None) -> None:
        """Start one process, and return once it listens.

        Raises:
            EnvironmentFault: it ended before.
        """
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reader)
            self._serve(writer, ready)
        os.close(writer)
        self._started[process] = time.monotonic()
        with os.fdopen(reader, "rb") as told:
            if told.read(1) != b"\n":
                raise EnvironmentFault("a process of the CAS did not start; its log says why")

    def _serve(self, writer: int, ready: Ready | None) -> None:
        """Be one of the processes; it ends here, and not where it was forked."""
        die_with_parent(signal.SIGTERM)

        def listening(cas: Cas, addresses: tuple[Address, Address]) -> None:
            if ready is not None:
                ready(cas, addresses)
            os.write(writer, b"\n")
            os.close(writer)

        code = Bug.exit_code
        try:
            _serve_here(self._config, listening, shared=True)
            code = 0
        except KeyboardInterrupt:
            code = 128 + signal.SIGTERM
        except BannockError as error:
            _log.error("%s", "; ".join(line.strip() for line in render(error)))
            code = error.exit_code
        except Exception as error:  # noqa: BLE001 - the outermost door of a process; its message may hold anything
            frames = "".join(traceback.format_tb(error.__traceback__))
            _log.error("a process of the CAS failed with %s\n%s", type(error).__name__, frames)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            logging.shutdown()
            os._exit(code)

    def _keep(self) -> None:
        while True:
            process, status = os.wait()
            began = self._started.pop(process, None)
            if began is None:
                continue
            _log.error(
                "process %d of the CAS ended with status %d; it is started again",
                process,
                os.waitstatus_to_exitcode(status),
            )
            if time.monotonic() - began < _SHORT_SECONDS:
                time.sleep(_PAUSE_SECONDS)
            try:
                self._start(ready=None)
            except EnvironmentFault as error:
                _log.error("%s", error)

    def _stop(self) -> None:
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while self._started:
            with contextlib.suppress(ChildProcessError):
                process, _ = os.waitpid(-1, os.WNOHANG)
                self._started.pop(process, None)
                if process:
                    continue
            if time.monotonic() > deadline:
                for late in self._started:
                    os.kill(late, signal.SIGKILL)
            time.sleep(0.02)


def _held(address: Address, held: contextlib.ExitStack) -> Address:
    sock = held.enter_context(bind_tcp(address, shared=True))
    return Address(address.host, int(sock.getsockname()[1]))
