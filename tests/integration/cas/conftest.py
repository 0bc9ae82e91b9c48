"""A CAS that listens on loopback with real TLS, and clients and enclaves of it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from bannock.cas import CasConfig, EmbeddedCas
from bannock.net.client import Connection, connect
from bannock.net.tls import Identity
from tests.integration.cas.databases import postgresql_place
from tests.integration.cas.enclaves import Enclave, enclave
from tests.integration.shield.postgresql import Server, programs

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


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL server with the settings that it has by itself."""
    if programs() is None:
        pytest.skip("needs PostgreSQL")
    base = tmp_path_factory.mktemp("postgresql")
    # Its user has to come to its files.
    for directory in (base, *base.parents):
        if directory == directory.parent or directory.stat().st_mode & 0o001:
            continue
        directory.chmod(directory.stat().st_mode | 0o011)
    server = Server(base / "data", base, settings=("max_connections=100",))
    server.create()
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session", autouse=True)
def _servers(request: pytest.FixtureRequest) -> None:
    """Start what tests will ask for before the first of them looks which processes there are."""
    if programs() is not None and any("postgresql" in item.name for item in request.session.items):
        request.getfixturevalue("postgresql")


_numbers = itertools.count()


@pytest.fixture
def postgresql_config(postgresql: Server, tmp_path: Path) -> Iterator[CasConfig]:
    """A CAS whose database is on a PostgreSQL server."""
    name = f"cas{next(_numbers)}"
    postgresql.query(f"CREATE DATABASE {name}")
    yield postgresql_place(postgresql, name, tmp_path / "cas")
    postgresql.query(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> CasConfig:
    """A CAS on each database."""
    if request.param == "sqlite":
        return CasConfig.in_directory(tmp_path / "cas")
    found = request.getfixturevalue("postgresql_config")
    assert isinstance(found, CasConfig)
    return found
