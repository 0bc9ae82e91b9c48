"""A CAS (and a LAS) in processes that can be killed, at addresses that stay the same."""

from __future__ import annotations

import logging
import random
import signal
import socket
import time
from typing import TYPE_CHECKING, Final

from bannock.cas import Cas, CasConfig
from bannock.cas.serving import endpoints
from bannock.errors import EnvironmentFault
from bannock.las.service import EmbeddedLas
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.server import ThreadedServer
from bannock.net.tls import Identity
from bannock.values import FspfTag, KeyHash
from tests.integration.cas.enclaves import enclave
from tests.integration.shield.kills.process import Process
from tests.unit.cas.documents import MEASUREMENT

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from bannock.values import FspfKey, Measurement
    from tests.integration.cas.enclaves import Enclave
    from tests.integration.shield.kills.process import Say

__all__ = ["CasKeeper", "CasProcess", "start_las"]

_HOST: Final = "127.0.0.1"
#: Below those that Linux gives to outgoing connections (ip_local_port_range).
_PORTS: Final = (20_000, 30_000)
#: A killed CAS is there again after a tenth of a second.
_ATTEMPTS: Final = 200
_PAUSE_SECONDS: Final = 0.02


class CasProcess:
    """A CAS on its SQLite database, and a client of it.

    Attributes:
        key: who it is.
        enclaves: where enclaves reach it.
        clients: where clients do.
    """

    def __init__(self, directory: Path) -> None:
        files = CasConfig.in_directory(directory)
        self._config = CasConfig(
            database=files.database, master_key=files.master_key, api=_free_address(), enclave=_free_address()
        )
        self.enclaves, self.clients = self._config.enclave, self._config.api
        self._client = Identity.generate("alice")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = Process(self._serve)
        for words in self._process.lines():
            assert words[0] == "listening", words
            self.key = KeyHash.from_hex(words[1])
            return
        raise AssertionError("the CAS did not start")

    def _serve(self, say: Say) -> None:
        logging.disable()
        with Cas(self._config) as cas, ThreadedServer(*endpoints(cas, self._config)):
            say("listening", cas.key_hash.value.hex())
            while True:
                signal.pause()

    def kill(self) -> None:
        """End it as a power failure does."""
        self._process.close()

    def make_session(self, document: str) -> None:
        """Make a session."""
        with connect(*self._config.api, self._client, expected_peer=self.key) as client:
            assert client.request("POST", "/session", document.encode()).status == 201

    def tag(self, session: str, volume: str) -> FspfTag | None:
        """Ask for the tag in force, as a client does."""
        with connect(*self._config.api, self._client, expected_peer=self.key) as client:
            found = client.request_json("GET", f"/v1/volumes/session={session},volume={volume}", None)["tag"]
        return None if found is None else FspfTag.from_hex(found)


class CasKeeper:
    """What a runtime does to keep a tag: attest, ask, and when the connection is lost attest anew and ask again."""

    def __init__(self, cas: CasProcess, session: str, measurement: Measurement = MEASUREMENT) -> None:
        self._cas = cas
        self._measurement = measurement
        self._session = session
        self._open: AbstractContextManager[Enclave] | None = None
        self._enclave: Enclave | None = None
        self.key, self.tag = self._attest()

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move from one tag to the next."""
        for _ in range(_ATTEMPTS):
            try:
                if self._enclave is None:
                    self._attest()
                assert self._enclave is not None
                self._enclave.commit(expected, new)
            except EnvironmentFault:
                self.close()
                time.sleep(_PAUSE_SECONDS)
            else:
                return
        raise AssertionError("the CAS did not come back")

    def close(self) -> None:
        """End the connection."""
        if self._open is not None:
            self._open.__exit__(None, None, None)
        self._open = self._enclave = None

    def _attest(self) -> tuple[FspfKey, FspfTag | None]:
        self._open = enclave(self._cas.enclaves, self._cas.key, self._measurement)
        self._enclave = self._open.__enter__()
        (volume,) = self._enclave.attest(session=self._session).volumes
        return volume.key, volume.tag


def start_las(directory: Path) -> tuple[Process, str]:
    """Start a LAS, and return where it answers."""

    def serve(say: Say) -> None:
        logging.disable()
        with EmbeddedLas(directory) as las:
            say("listening", las.address)
            while True:
                signal.pause()

    process = Process(serve)
    for words in process.lines():
        assert words[0] == "listening", words
        return process, words[1]
    raise AssertionError("the LAS did not start")


def _free_address() -> Address:
    """Find a port that nobody has, and that no outgoing connection gets while the CAS is down."""
    ports = range(*_PORTS)
    for port in random.sample(ports, len(ports)):
        try:
            with socket.create_server((_HOST, port)):
                return Address(_HOST, port)
        except OSError:
            continue
    raise AssertionError("every port is in use")
