"""A CAS inside another program: on loopback, served by a thread of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from bannock.cas.config import CasConfig
from bannock.cas.service import Cas
from bannock.cas.serving import endpoints
from bannock.net.address import Address
from bannock.net.server import ThreadedServer

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.values import KeyHash

__all__ = ["EmbeddedCas"]


class EmbeddedCas:
    """A CAS inside another program, on loopback ports that the kernel chooses where none is named; a context manager.

    Attributes:
        cas: what listens.
        client_address: where clients reach it.
        enclave_address: where enclaves reach it.
    """

    def __init__(self, directory: Path, *, provisioning_required: bool = False, enclave_port: int = 0) -> None:
        """Open the CAS that keeps its files in a directory, or make it, and let it listen.

        Raises:
            BannockError: as :class:`Cas`.
        """
        host = "127.0.0.1"
        files = CasConfig.in_directory(directory)
        config = CasConfig(
            database=files.database,
            master_key=files.master_key,
            api=Address(host, 0),
            enclave=Address(host, enclave_port),
            provisioning_required=provisioning_required,
        )
        self.cas = Cas(config)
        try:
            self._server = ThreadedServer(*endpoints(self.cas, config))
            self._server.start()
        except BaseException:
            self.cas.close()
            raise
        self.client_address, self.enclave_address = (Address(host, port) for port in self._server.ports)

    @property
    def key_hash(self) -> KeyHash:
        """Who the CAS is to its clients and enclaves."""
        return self.cas.key_hash

    def close(self) -> None:
        """Stop listening and close the store."""
        self._server.stop()
        self.cas.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
