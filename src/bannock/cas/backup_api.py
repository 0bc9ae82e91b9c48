"""The routes of backups and upgrades: those of the owner, and those between two CASes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request  # noqa: TC002 - FastAPI reads annotations when the program runs

from bannock.cas.backups import Successor
from bannock.cas.config import API_PORT
from bannock.cas.documents import (
    BackupKeyRequest,
    BackupRequest,
    Health,
    Nonce,
    RecoveryKey,
    RegisteredBackup,
    problems,
)
from bannock.cas.other_cas import Accepted
from bannock.net.address import Address
from bannock.net.peer import peer_of
from bannock.policy.machine_file import parse_machines
from bannock.values import KeyHash, Measurement

if TYPE_CHECKING:
    from bannock.cas.service import Cas

__all__ = ["add_backup_routes"]


def add_backup_routes(app: FastAPI, cas: Cas) -> None:
    """Add them to the client API."""

    async def register(request: Request, body: BackupRequest, *, upgrade: bool) -> RegisteredBackup:
        successor = Successor(
            address=Address.parse(body.address.removeprefix("https://").rstrip("/"), default_port=API_PORT),
            accepted=Accepted(
                mrenclaves=frozenset(Measurement.from_hex(each) for each in body.mrenclaves),
                key_hash=None if body.cas_key_hash is None else KeyHash.from_base58(body.cas_key_hash),
                machines=() if body.machines is None else parse_machines(body.machines),
                tolerated=frozenset(body.tolerate),
            ),
            upgrade=upgrade,
        )
        attested, slot = await cas.work(cas.backups.register, peer_of(request.scope).key_hash, successor)
        return RegisteredBackup(
            slot=slot.hex(),
            cas_key_hash=str(attested.key_hash),
            cas_software_key_hash=str(attested.statement.software_key_hash),
            mrenclave=str(attested.claims.measurement),
        )

    @app.post("/v1/owner/backups", responses=problems(400, 403))
    async def post_backup(request: Request, body: BackupRequest) -> RegisteredBackup:
        """Let another CAS of the same software, with its own master key, open this database from now on."""
        return await register(request, body, upgrade=False)

    @app.post("/v1/owner/upgrades", responses=problems(400, 403))
    async def post_upgrade(request: Request, body: BackupRequest) -> RegisteredBackup:
        """Let a CAS of another software, which has to be named, open this database from now on."""
        return await register(request, body, upgrade=True)

    @app.post("/v1/owner/upgrade", responses=problems(400, 403))
    async def post_start_upgrade(request: Request) -> Health:
        """Change all keys that open the database; registered backups and upgrades have the new ones."""
        await cas.work(cas.backups.start_upgrade, peer_of(request.scope).key_hash)
        return Health(status="rekeyed")

    @app.post("/v1/backup/nonce", responses=problems(400))
    async def post_backup_nonce(request: Request) -> Nonce:
        """Ask for a nonce, as a CAS that wants this one to take over from it."""
        return Nonce(nonce=cas.backups.nonce(peer_of(request.scope)))

    @app.post("/v1/backup/key", responses=problems(400, 403))
    async def post_backup_key(request: Request, body: BackupKeyRequest) -> RecoveryKey:
        """Ask for the recovery key, as a CAS that attests itself for the nonce and this connection."""
        key = await cas.work(cas.backups.recovery_key, peer_of(request.scope), body.attestation, upgrade=body.upgrade)
        return RecoveryKey(recovery_key=key.hex())
