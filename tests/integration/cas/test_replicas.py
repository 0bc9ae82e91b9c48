"""Replicas of one CAS: a new one learns from another how new the database is, and trusts nobody else in that."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig, vouching
from bannock.cas.serving import endpoints
from bannock.errors import RollbackError
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.server import ThreadedServer
from bannock.net.tls import Identity
from bannock.values import KeyHash
from tests.integration.cas.databases import execute
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ALICE = KeyHash(b"a" * 32)
_ANYWHERE = Address("127.0.0.1", 0)


@contextlib.contextmanager
def _serving(config: CasConfig) -> Iterator[tuple[Cas, Address]]:
    """Serve a CAS, and give the address for clients."""
    with Cas(config) as cas:
        found = endpoints(cas, dataclasses.replace(config, api=_ANYWHERE, enclave=_ANYWHERE))
        server = ThreadedServer(*found)
        server.start()
        try:
            yield cas, Address("127.0.0.1", found[0].sock.getsockname()[1])
        finally:
            server.stop()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nobody."""
    monkeypatch.setattr(vouching, "_WAIT_SECONDS", 0.0)


def _joining(config: CasConfig, tmp_path: Path, peers: Address) -> CasConfig:
    """Describe a replica that never saw the database."""
    return dataclasses.replace(config, rollback_counter=tmp_path / "second.counter", peers=peers)


def test_a_new_replica_asks_another_one(config: CasConfig, tmp_path: Path) -> None:
    """It joins without being told to trust what it finds, and from then on knows by itself."""
    with _serving(config) as (cas, address):
        cas.sessions.post(document(), _ALICE)
        joining = _joining(config, tmp_path, address)
        with Cas(joining) as second:
            assert second.sessions.read("demo", _ALICE)
            assert second.key_hash == cas.key_hash
            entries = [entry for entry in second.audit_log() if entry.event == "replica_joined"]
        assert [set(entry.facts) for entry in entries] == [{"changes"}]
        assert "rollback_accepted" not in [entry.event for entry in cas.audit_log()]
    Cas(joining).close()


def test_an_older_copy_is_not_joined(config: CasConfig, tmp_path: Path) -> None:
    """The one that is asked has seen more changes than the new one is shown."""
    Cas(config).close()
    if config.postgresql is not None:
        pytest.skip("a copy of a file is made in less time")
    old = tmp_path / "old"
    shutil.copytree(config.database.parent, old)
    with _serving(config) as (cas, address):
        cas.sessions.post(document(), _ALICE)
        copied = dataclasses.replace(config, database=old / config.database.name)
        with pytest.raises(RollbackError, match="is older than it was"):
            Cas(_joining(copied, tmp_path, address))
    assert not (tmp_path / "second.counter").exists()


def test_who_cannot_vouch(config: CasConfig, tmp_path: Path) -> None:
    """Nobody, another CAS, and a replica that sees an older copy itself."""
    with _serving(config) as (cas, address):
        ((old,),) = execute(config, "SELECT sealed FROM counters")
        cas.sessions.post(document(), _ALICE)
        with pytest.raises(RollbackError, match="this replica is new") as caught:
            Cas(_joining(config, tmp_path, Address("127.0.0.1", 1)))
        assert "--accept-rollback" in (caught.value.hint or "")
        other = tmp_path / "other"
        other.mkdir(mode=0o700)
        with _serving(CasConfig.in_directory(other)) as (_, elsewhere), pytest.raises(RollbackError, match="is new"):
            Cas(_joining(config, tmp_path, elsewhere))
        execute(config, "UPDATE counters SET sealed = ?", bytes(old))
        with pytest.raises(RollbackError, match="is new"):
            Cas(_joining(config, tmp_path, address))


def test_replicas_alone_are_told(config: CasConfig) -> None:
    """Neither other clients nor those without a certificate."""
    with _serving(config) as (cas, address):
        for identity in (None, Identity.generate("somebody")):
            with connect(*address, identity, expected_peer=cas.key_hash) as connection:
                assert connection.request("GET", vouching.PATH).status == 403
        with connect(*address, cas.store.identity, expected_peer=cas.key_hash) as connection:
            assert connection.request("GET", vouching.PATH).status == 200
