"""A CAS that listens on loopback with real TLS, and clients and enclaves of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.cas import EmbeddedCas
from bannock.net.client import Connection, connect
from bannock.net.tls import Identity
from tests.integration.cas.enclaves import Enclave, enclave

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def cas(tmp_path: Path) -> Iterator[EmbeddedCas]:
    """A CAS that listens."""
    with EmbeddedCas(tmp_path / "cas") as running:
        yield running


@pytest.fixture(scope="session")
def alice() -> Identity:
    """A client."""
    return Identity.generate("alice")


@pytest.fixture
def client(cas: EmbeddedCas, alice: Identity) -> Iterator[Connection]:
    """A connection of Alice to the client API."""
    with connect(*cas.client_address, alice, expected_peer=cas.key_hash) as connection:
        yield connection


@pytest.fixture
def app(cas: EmbeddedCas) -> Iterator[Enclave]:
    """An enclave that is connected, and not attested yet."""
    with enclave(cas.enclave_address, cas.key_hash) as connected:
        yield connected
