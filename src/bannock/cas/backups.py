"""Other CASes that may take over the database of this one: backups, and newer versions of the software.

Thread-safe. Each of the two CASes attests the other over one connection before anything is said: the one that is to be
taken over gives its keys to nobody who is not the software that it expects, and the other gives its recovery key to
nobody but a CAS. What they say is bound to the connection, so nobody in between can be either of them.
"""

from __future__ import annotations

import contextlib
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from bannock.cas.audit.entry import Event
from bannock.cas.other_cas import Accepted, expected_of
from bannock.cas.owner import require_owner
from bannock.errors import BannockError, DeniedError, EvidenceError, InputError, PeerError
from bannock.evidence.cas_verifier import AttestedCas, CasExpectations, verify_cas
from bannock.evidence.report import NONCE_BYTES
from bannock.net.client import connect

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator

    from bannock.cas.self_attestation import SelfAttestation
    from bannock.cas.store import Store
    from bannock.evidence.cas_statement import CasStatement
    from bannock.evidence.verifier import QuoteVerifier
    from bannock.net.address import Address
    from bannock.net.client import Connection
    from bannock.net.peer import Peer
    from bannock.values import KeyHash

    #: Says what this CAS is: nonce and exporter value of a connection → statement.
    State = Callable[[str, bytes], CasStatement]

__all__ = ["Backups", "Successor"]

_log = logging.getLogger(__name__)

_NONCE: Final = "backup nonce"
_TIMEOUT_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """A CAS that is to be able to take over.

    Attributes:
        address: of its client interface.
        accepted: what it has to be.
        upgrade: whether it may be another software than this one.
    """

    address: Address
    accepted: Accepted = field(default_factory=Accepted)
    upgrade: bool = False


class Backups:
    """The backups and upgrades of one CAS, and this CAS as one of another."""

    def __init__(
        self,
        store: Store,
        attestation: SelfAttestation,
        state: State,
        *,
        appraise: QuoteVerifier,
        random: Callable[[int], bytes],
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._store = store
        self._attestation = attestation
        self._state = state
        self._appraise = appraise
        self._random = random
        self._clock = clock

    def register(self, client: KeyHash | None, successor: Successor) -> tuple[AttestedCas, bytes]:
        """Let another CAS take over the database of this one; give what it is, and the number of its slot.

        Raises:
            DeniedError: the client is not the owner, or one of the two CASes does not trust the other.
            EnvironmentFault, PeerError: the other CAS is not to be reached, or does not speak like one.
        """
        with self._store.reading() as view:
            require_owner(view, client)
        if successor.upgrade and not successor.accepted.mrenclaves:
            raise InputError("an upgrade is another software: say which, mrenclaves is empty")
        with _told(successor), self._connected(successor) as connection:
            attested = self._attested(connection, successor)
            key = self._recovery_key(connection, successor)
        kind = "upgrade_registered" if successor.upgrade else "backup_registered"
        facts: dict[str, str | list[str] | None] = {
            "address": str(successor.address),
            "cas": str(attested.key_hash),
            "software": str(attested.statement.software_key_hash),
            "mrenclave": str(attested.claims.measurement),
        }
        number = self._store.put_slot(key, Event(event=kind, facts=facts))
        _log.info("the CAS %s at %s may take over the database", attested.key_hash, successor.address)
        return attested, number

    def start_upgrade(self, client: KeyHash | None) -> None:
        """Change all keys that open the database; who was registered has the new ones, nobody else.

        Raises:
            DeniedError: the client is not the owner.
            EnvironmentFault: the new master key cannot be written.
        """
        with self._store.reading() as view:
            require_owner(view, client)
        self._store.rekey(data=True)

    def nonce(self, peer: Peer) -> str:
        """Give a nonce to a CAS that wants this one to take over from it; an older one is void."""
        nonce = self._random(NONCE_BYTES).hex()
        peer.state[_NONCE] = nonce
        return nonce

    def recovery_key(self, peer: Peer, attestation: dict[str, Any], *, upgrade: bool) -> bytes:
        """Give what the keys of another CAS have to be encrypted for, to a CAS that attests itself.

        Args:
            peer: the other CAS.
            attestation: as ``GET /v1/attest`` gives it, for the nonce and the connection.
            upgrade: whether it may be another software than this one.

        Raises:
            EvidenceError: its evidence does not hold.
            DeniedError: it is not the software that this CAS expects.
        """
        nonce = peer.state.pop(_NONCE, None)
        if not isinstance(nonce, str) or peer.key_hash is None or peer.exporter is None:
            raise EvidenceError("no nonce is open on this connection, or it has no client certificate")
        expected = self._expected(Accepted(any_software=upgrade), owner_secret_access=True)
        attested = verify_cas(
            json.dumps(attestation).encode("utf-8"),
            expected,
            nonce=nonce,
            exporter=peer.exporter,
            peer=peer.key_hash,
            at=self._clock(),
            appraise=self._appraise,
        )
        key = self._store.recovery_key().public_bytes_raw()
        with self._store.changing() as change:
            facts = {"cas": str(attested.key_hash), "mrenclave": str(attested.claims.measurement)}
            change.audit("recovery_key_given", {**facts})
        return key

    @contextlib.contextmanager
    def _connected(self, successor: Successor) -> Iterator[Connection]:
        address = successor.address
        with connect(
            address.host,
            address.port,
            self._store.identity,
            expected_peer=successor.accepted.key_hash,
            timeout=_TIMEOUT_SECONDS,
            peer_name="the other CAS",
        ) as connection:
            yield connection

    def _attested(self, connection: Connection, successor: Successor) -> AttestedCas:
        if connection.peer_key_hash == self._store.identity.key_hash:
            raise InputError("a CAS is not its own backup")
        nonce = self._random(NONCE_BYTES).hex()
        own = self._state(nonce, connection.exporter())
        expected = self._expected(successor.accepted, owner_secret_access=own.owner_secret_access)
        return verify_cas(
            json.dumps(connection.request_json("GET", f"/v1/attest?nonce={nonce}")).encode("utf-8"),
            expected,
            nonce=nonce,
            exporter=connection.exporter(),
            peer=connection.peer_key_hash,
            at=self._clock(),
            appraise=self._appraise,
        )

    def _expected(self, accepted: Accepted, *, owner_secret_access: bool) -> CasExpectations:
        own = self._attestation.claims(self._appraise)
        return expected_of(own, self._attestation.measurement, accepted, owner_secret_access=owner_secret_access)

    def _recovery_key(self, connection: Connection, successor: Successor) -> X25519PublicKey:
        answer = connection.request_json("POST", "/v1/backup/nonce")
        nonce = answer.get("nonce") if isinstance(answer, dict) else None
        if not isinstance(nonce, str):
            raise PeerError("the other CAS gives no nonce")
        attestation = self._attestation.document(self._state(nonce, connection.exporter()))
        body = {"attestation": attestation, "upgrade": successor.upgrade}
        answer = connection.request_json("POST", "/v1/backup/key", body)
        try:
            return X25519PublicKey.from_public_bytes(bytes.fromhex(answer["recovery_key"]))
        except (ValueError, TypeError, KeyError) as error:
            raise PeerError("the recovery key of the other CAS is malformed") from error


@contextlib.contextmanager
def _told(successor: Successor) -> Iterator[None]:
    try:
        yield
    except (DeniedError, PeerError) as error:
        raise DeniedError(f"the CAS at {successor.address} cannot take over from this one") from error
    except BannockError as error:
        raise InputError(f"the CAS at {successor.address} cannot be asked") from error
