"""A CAS that takes over the database of another one: what it needs, and who else tries."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import create_engine, text

from bannock.cas import Cas, CasConfig, EmbeddedCas
from bannock.errors import BannockError, ConflictError, DeniedError, InputError, IntegrityError
from bannock.evidence.cas_statement import CasStatement
from bannock.net.client import connect
from bannock.net.tls import Identity
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.net.client import Connection

_CONFIG: Final = '[audit_log]\nsink = "database"\n'


@pytest.fixture
def other(tmp_path: Path) -> Iterator[EmbeddedCas]:
    """Another CAS, with a master key of its own, that nobody owns."""
    with EmbeddedCas(tmp_path / "other", provisioning_required=True) as running:
        yield running


@pytest.fixture
def owned(cas: EmbeddedCas, client: Connection) -> EmbeddedCas:
    """The CAS, owned by Alice and with a session."""
    client.request("POST", "/v1/sessions", document().encode())
    body = {"token": cas.cas.owner.token, "config": _CONFIG}
    client.request_json("POST", "/v1/owner/provision", body)
    return cas


def _register(client: Connection, other: EmbeddedCas, path: str = "backups", **more: object) -> Any:
    return client.request_json("POST", f"/v1/owner/{path}", {"address": str(other.client_address), **more})


def _moved(tmp_path: Path, target: Path) -> CasConfig:
    """Copy the database of the CAS to another machine, which has its own master key and nothing else."""
    target.mkdir(mode=0o700)
    for file in (tmp_path / "cas").glob("cas.db*"):
        shutil.copy(file, target / file.name)
    shutil.copy(tmp_path / "other" / "master.key", target / "master.key")
    (target / "master.key").chmod(0o600)
    return replace(CasConfig.in_directory(target), accept_rollback=True)


def test_a_backup_takes_the_database_over(
    owned: EmbeddedCas, other: EmbeddedCas, client: Connection, tmp_path: Path, alice: Identity
) -> None:
    """With its own master key it opens a copy that was made later, and is the same CAS to everybody."""
    told = _register(client, other, cas_key_hash=str(other.key_hash))
    assert told["cas_key_hash"] == str(other.key_hash)
    client.request("POST", "/v1/sessions", document("later").encode())
    config = _moved(tmp_path, tmp_path / "moved")
    with Cas(config) as moved:
        assert moved.key_hash == owned.key_hash
        assert moved.sessions.read("later", alice.key_hash).generation == 1
        moved.store.rekey(data=True)
    with Cas(config) as moved:
        assert moved.sessions.read("demo", alice.key_hash).generation == 1
        assert moved.owner.read(alice.key_hash).text == _CONFIG


def test_a_machine_that_is_not_registered_opens_nothing(
    owned: EmbeddedCas, other: EmbeddedCas, tmp_path: Path
) -> None:
    """A copy of the database is worth nothing by itself."""
    assert owned.key_hash != other.key_hash
    with pytest.raises(IntegrityError, match="does not open the database"):
        Cas(_moved(tmp_path, tmp_path / "moved"))


def test_a_backup_survives_new_keys(
    owned: EmbeddedCas, other: EmbeddedCas, client: Connection, tmp_path: Path, alice: Identity
) -> None:
    """An upgrade changes all keys; the backup has the new ones, and an old master key opens nothing."""
    del owned
    _register(client, other)
    old = (tmp_path / "cas" / "master.key").read_bytes()
    assert client.request_json("POST", "/v1/owner/upgrade")["status"] == "rekeyed"
    client.request("POST", "/v1/sessions", document("later").encode())
    config = _moved(tmp_path, tmp_path / "moved")
    with Cas(config) as moved:
        assert moved.sessions.read("later", alice.key_hash).generation == 1
    (tmp_path / "moved" / "master.key").write_bytes(old)
    with pytest.raises(IntegrityError, match="does not open the database"):
        Cas(config)


def test_only_the_owner_registers(owned: EmbeddedCas, other: EmbeddedCas) -> None:
    """Backups, upgrades and new keys are nobody else's matter."""
    bob = Identity.generate("bob")
    with connect(*owned.client_address, bob, expected_peer=owned.key_hash) as client:
        for path in ("backups", "upgrades"):
            with pytest.raises(DeniedError, match="only the owner"):
                _register(client, other, path)
        assert client.request("POST", "/v1/owner/upgrade").status == 403


def test_an_upgrade_names_its_software(owned: EmbeddedCas, other: EmbeddedCas, client: Connection) -> None:
    """What is not named is not let in."""
    with pytest.raises(InputError, match="say which"):
        _register(client, other, "upgrades")
    with pytest.raises(DeniedError, match="cannot take over"):
        _register(client, other, "upgrades", mrenclaves=["ab" * 32])
    assert _register(client, other, "upgrades", mrenclaves=[str(owned.cas.self_attestation.measurement)])["slot"]


def test_a_cas_that_is_not_the_one_expected(owned: EmbeddedCas, other: EmbeddedCas, client: Connection) -> None:
    """Another software, another key, itself, and nobody at all."""
    for changes in ({"mrenclaves": ["ab" * 32]}, {"cas_key_hash": str(owned.key_hash)}):
        with pytest.raises(DeniedError, match="cannot take over from this one"):
            _register(client, other, **changes)
    with pytest.raises(InputError, match="cannot be asked"):
        _register(client, owned)
    with pytest.raises(InputError, match="cannot be asked"):
        client.request_json("POST", "/v1/owner/backups", {"address": "127.0.0.1:1"})
    assert _slots(owned) == 0


def _slots(cas: EmbeddedCas) -> int:
    engine = create_engine(f"sqlite:///{cas.cas.store._place.database}")
    with engine.connect() as connection:
        number = connection.execute(text("SELECT count(*) FROM slots")).scalar()
    engine.dispose()
    return int(number or 0)


def test_a_backup_attests_who_asks(owned: EmbeddedCas, other: EmbeddedCas) -> None:
    """It tells its recovery key to no client, no other software, and nobody who passes evidence on."""
    state, attestation = owned.cas._statement, owned.cas.self_attestation
    thief = Identity.generate("thief")
    with connect(*other.client_address, owned.cas.store.identity, expected_peer=None) as real:
        nonce = real.request_json("POST", "/v1/backup/nonce")["nonce"]
        statement = state(nonce, real.exporter())
        with connect(*other.client_address, thief, expected_peer=None) as relay:
            relay.request_json("POST", "/v1/backup/nonce")
            _refused(relay, attestation.document(statement), "another CAS")
        _refused(real, attestation.document(state("00" * 32, real.exporter())), "another nonce")
        _refused(real, attestation.document(statement), "no nonce is open")
        nonce = real.request_json("POST", "/v1/backup/nonce")["nonce"]
        _refused(real, attestation.document(state(nonce, b"x" * 32)), "another connection")
        nonce = real.request_json("POST", "/v1/backup/nonce")["nonce"]
        forged = attestation.document(state(nonce, real.exporter()))
        forged["statement"]["version"] = "9"
        _refused(real, forged, "another attestation")
        nonce = real.request_json("POST", "/v1/backup/nonce")["nonce"]
        assert isinstance(statement, CasStatement)
        body = {"attestation": attestation.document(state(nonce, real.exporter()))}
        assert len(real.request_json("POST", "/v1/backup/key", body)["recovery_key"]) == 64


def _refused(connection: Connection, attestation: dict[str, Any], message: str) -> None:
    with pytest.raises(BannockError, match=message):
        connection.request_json("POST", "/v1/backup/key", {"attestation": attestation})


def test_a_database_key_is_the_owners_and_everybody_knows(tmp_path: Path, alice: Identity) -> None:
    """It opens the database; a CAS that has sessions takes none."""
    key = "c0" * 32
    with EmbeddedCas(tmp_path / "cas") as cas, connect(*cas.client_address, alice, expected_peer=None) as client:
        body = {"token": cas.cas.owner.token, "config": _CONFIG, "database_key": key}
        assert client.request_json("POST", "/v1/owner/provision", body)["owner_secret_access"] is True
        assert client.request_json("GET", "/v1/attest")["statement"]["owner_secret_access"] is True
        assert client.request("POST", "/v1/sessions", document().encode()).status == 201
    assert (tmp_path / "cas" / "master.key").read_text().strip() == key
    with EmbeddedCas(tmp_path / "used") as cas, connect(*cas.client_address, alice, expected_peer=None) as client:
        client.request("POST", "/v1/sessions", document().encode())
        body = {"token": cas.cas.owner.token, "config": _CONFIG, "database_key": key}
        with pytest.raises(ConflictError, match="CAS without sessions"):
            client.request_json("POST", "/v1/owner/provision", body)
        assert client.request_json("GET", "/v1/owner")["provisioned"] is False
    assert (tmp_path / "used" / "master.key").read_text().strip() != key
