"""The services that a run needs: given by address, or embedded, which is the default.

Embedded services live in threads of this process and end with it; what a CAS has to remember is in the directory of
the configuration. Directories and keys are private to the user. What is not embedded is not imported: a CAS alone
takes longer than all else of a command.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.evidence.modes import Mode
from bannock.evidence.platforms import Places, choose
from bannock.files import private_directory, read_private, write_atomically
from bannock.las.key import kept_key
from bannock.net.address import Address
from bannock.net.tls import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.values import KeyHash

__all__ = [
    "LAS_SOCKET", "CasAccess", "ExternalCas", "Services", "Wanted", "client_identity", "open_cas", "open_las",
    "open_services",
]  # fmt: skip

_LOOPBACK: Final = Address("127.0.0.1", 0)
#: Of an embedded LAS that containers of this machine ask.
LAS_SOCKET: Final = "las.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalCas:
    """A CAS that runs elsewhere; its key is what makes it the right one."""

    client: Address
    enclave: Address
    key: KeyHash


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Services that run elsewhere; None for those that are to be embedded.

    Attributes:
        cas: the CAS.
        las: address of the LAS of the host.
        transfer: base URL of the transfer service.
        mode: what an embedded LAS takes to vouch for this machine; simulation unless something else is said, because
            the one who would have to be convinced is the one who runs it.
    """

    cas: ExternalCas | None = None
    las: str | None = None
    transfer: str | None = None
    mode: Mode = Mode.SIM


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Where the services of a run are.

    Attributes:
        cas: the client interface of the CAS.
        cas_enclave: its enclave interface.
        cas_key: its key.
        las: address of the LAS of the host.
        transfer: base URL of the transfer service.
    """

    cas: Address
    cas_enclave: Address
    cas_key: KeyHash
    las: str
    transfer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CasAccess:
    """A CAS, as runs in containers use it.

    Attributes:
        client: its client interface, as this process reaches it.
        enclave: its enclave interface, likewise.
        key: its key.
        embedded: whether it ends with this process, and hosts reach it only by way of this machine.
    """

    client: Address
    enclave: Address
    key: KeyHash
    embedded: bool


@contextmanager
def open_cas(conf: Path, external: ExternalCas | None, *, enclave_port: int = 0) -> Iterator[CasAccess]:
    """Give the CAS that was named, or the embedded one, until the context ends.

    Args:
        conf: the directory of the configuration.
        external: a CAS that runs elsewhere.
        enclave_port: where the embedded one has to listen for enclaves that know it already; 0 for anywhere.

    Raises:
        BannockError: it does not start.
    """
    if external is not None:
        yield CasAccess(client=external.client, enclave=external.enclave, key=external.key, embedded=False)
        return
    from bannock.cas.embedded import EmbeddedCas  # noqa: PLC0415

    directory = private_directory(private_directory(conf) / "cas")
    with EmbeddedCas(directory, enclave_port=enclave_port) as cas:
        yield CasAccess(client=cas.client_address, enclave=cas.enclave_address, key=cas.key_hash, embedded=True)


@contextmanager
def open_las(conf: Path, mode: Mode, directory: Path) -> Iterator[None]:
    """Have an embedded LAS answer at a socket in a directory, which containers of this machine see, until the end.

    Raises:
        BannockError: it does not start.
    """
    from bannock.las.service import EmbeddedLas  # noqa: PLC0415

    keys = conf / "las"
    attester = choose(mode, None, Places.of(os.environ), lambda: kept_key(keys)).attester
    with EmbeddedLas(keys, attester, socket=private_directory(directory) / LAS_SOCKET):
        yield


@contextmanager
def open_services(conf: Path, wanted: Wanted) -> Iterator[Services]:
    """Start what is not given, and stop it at the end.

    Raises:
        BannockError: a service does not start.
    """
    private_directory(conf)
    with ExitStack() as stack:
        cas = wanted.cas or _embedded_cas(conf, stack)
        yield Services(
            cas=cas.client,
            cas_enclave=cas.enclave,
            cas_key=cas.key,
            las=wanted.las or _embedded_las(conf / "las", wanted.mode, stack),
            transfer=wanted.transfer or _embedded_transfer(stack),
        )


def client_identity(conf: Path) -> Identity:
    """Return the key that this user is to a CAS; made at the first call.

    Raises:
        InputError: others can read it.
    """
    path = private_directory(conf) / "identity.pem"
    if not path.exists():
        write_atomically(path, Identity.generate("bannock client", names=(), addresses=()).to_pem().reveal())
    try:
        return Identity.from_pem(read_private(path))
    except InputError as error:
        raise InputError(f"the client's identity {path} is not usable: {error}", hint=error.hint) from error


def _embedded_cas(conf: Path, stack: ExitStack) -> ExternalCas:
    from bannock.cas.embedded import EmbeddedCas  # noqa: PLC0415

    cas = stack.enter_context(EmbeddedCas(private_directory(conf / "cas")))
    return ExternalCas(client=cas.client_address, enclave=cas.enclave_address, key=cas.key_hash)


def _embedded_las(directory: Path, mode: Mode, stack: ExitStack) -> str:
    from bannock.las.service import EmbeddedLas  # noqa: PLC0415

    chosen = choose(mode, None, Places.of(os.environ), lambda: kept_key(directory))
    return stack.enter_context(EmbeddedLas(directory, chosen.attester)).address


def _embedded_transfer(stack: ExitStack) -> str:
    from bannock.execution.transfer.service import TransferService  # noqa: PLC0415
    from bannock.execution.transfer.store import StoreLimits, TransferStore  # noqa: PLC0415
    from bannock.net.server import Endpoint, ThreadedServer, bind_tcp  # noqa: PLC0415

    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bannock-transfer-")))
    store = TransferStore(scratch, StoreLimits(), now=time.time())
    server = ThreadedServer(Endpoint(app=TransferService(store), sock=bind_tcp(_LOOPBACK)))
    stack.enter_context(server)
    return f"http://127.0.0.1:{server.port}"
