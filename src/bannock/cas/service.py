"""A CAS as one object: its store, and what it does with it."""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import functools
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar

from bannock.cas.attestation import Attestation
from bannock.cas.attestation_ca import AttestationKeyAuthority
from bannock.cas.audit.log import AuditLog
from bannock.cas.azure import Azure
from bannock.cas.backups import Backups
from bannock.cas.commits import Commits
from bannock.cas.derived_keys import session_encryption_key
from bannock.cas.endorsing import Endorsing
from bannock.cas.engines import WORKERS
from bannock.cas.exchange import Exports
from bannock.cas.forecasting import Forecasting
from bannock.cas.metrics import Metrics
from bannock.cas.owner import Owner
from bannock.cas.reading import Reading
from bannock.cas.remote_secrets import RemoteSecrets
from bannock.cas.self_attestation import SelfAttestation
from bannock.cas.sessions import Sessions
from bannock.cas.store import Store
from bannock.cas.tokens import Tokens
from bannock.cas.tpm_roots import TpmRoots
from bannock.errors import BannockError, DeniedError
from bannock.evidence.receipt import sign_receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bannock.cas.audit.entry import AuditEntry, ChainHead
    from bannock.cas.config import CasConfig
    from bannock.cas.records import StoredSession
    from bannock.evidence.cas_statement import CasStatement
    from bannock.net.peer import Peer
    from bannock.net.tls import Identity
    from bannock.values import KeyHash

__all__ = ["Cas"]


_log = logging.getLogger(__name__)

#: Receipts that are kept in memory.
_RECEIPTS: Final = 4096
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Cas:
    """An open CAS that does not listen yet; a context manager.

    Attributes:
        sessions: makes, changes and reads sessions.
        reading: answers what clients may know beyond them.
        endorsing: has what vendors vouch for.
        attestation: gives configurations to enclaves.
        forecasting: tells which of them would stop attesting, when and why.
        tokens: tells others of enclaves that were attested.
        exports: gives secrets to sessions on other CASes.
        commits: keeps the states of their protection files.
        backups: other CASes that may take over the database.
        self_attestation: says what this CAS is, with evidence.
        owner: who claimed it, and how they configured it.
        metrics: what it counts; None for nothing.
        audit: what it says of itself in the audit log, and what it tells its owner of that.
    """

    def __init__(
        self,
        config: CasConfig,
        *,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], dt.datetime] = _now,
    ) -> None:
        """Open the store, or make it with all its keys.

        Raises:
            InputError: the files are open to others, or the master key is missing.
            IntegrityError: the master key does not open the database.
            EnvironmentFault: the files cannot be had.
        """
        # Before the store is opened, which somebody would have to close.
        tpm_roots = TpmRoots(config.tpm_roots)
        self.store = Store.open(
            config,
            random=random,
            clock=clock,
            audit_path=config.audit_path,
            names=config.names,
            addresses=config.addresses,
        )
        self.self_attestation = SelfAttestation(self.store.identity, las=config.las, mode=config.mode, clock=clock)
        azure = Azure(config.azure, clock=clock, random=random)
        self.sessions = Sessions(
            self.store,
            random,
            clock=clock,
            remote=RemoteSecrets(azure, self.store.identity, self._software_identity),
            decryption_key=session_encryption_key(self.store.identity),
        )
        self.exports = Exports(self.sessions.secrets, self._software_identity)
        self.reading = Reading(self.store, self.sessions)
        authority = AttestationKeyAuthority(self.store.identity, tpm_roots, random)
        self.endorsing = self._endorsing(config, clock, authority)
        self.attestation = Attestation(
            self.store, self.sessions, self.endorsing, authority, random=random, clock=clock
        )
        self.forecasting = Forecasting(self.store, self.sessions, self.endorsing, clock=clock)
        self.tokens = Tokens(
            self.store,
            self.sessions,
            issuer=config.token_issuer,
            measurement=lambda: self.self_attestation.measurement,
            random=random,
            clock=clock,
        )
        self.commits = Commits(self.store)
        self.backups = Backups(
            self.store,
            self.self_attestation,
            self._statement,
            appraise=self.endorsing.appraise,
            random=random,
            clock=clock,
        )
        # A session is read more often than it changes.
        self._receipt = functools.lru_cache(_RECEIPTS)(functools.partial(sign_receipt, self.store.identity))
        self.audit = AuditLog(self.store, self.self_attestation)
        try:
            self.owner = Owner(
                self.store, self.audit, required=config.provisioning_required, audit_log=config.audit_log
            )
            self.audit.start(self.owner.audit_log)
        except BaseException:
            self.store.close()
            raise

        self.metrics = (
            None
            if config.metrics is None
            else Metrics(provisioned=lambda: self.owner.record is not None, expiry=self.forecasting.expiry)
        )
        self._workers = ThreadPoolExecutor(WORKERS, "bannock-cas")

    def _endorsing(
        self, config: CasConfig, clock: Callable[[], dt.datetime], authority: AttestationKeyAuthority
    ) -> Endorsing:
        return Endorsing(
            config.collateral,
            config.collateral_directory,
            clock=clock,
            subscription_key=lambda: self.owner.subscription_key,
            roots=authority.trusted,
        )

    @property
    def key_hash(self) -> KeyHash:
        """Who the CAS is to its clients and enclaves."""
        return self.store.identity.key_hash

    def _software_identity(self) -> Identity:
        return self.self_attestation.software

    async def work(
        self, call: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        """Do what blocks on a worker thread: the one way from the event loop to the store."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            self._workers, functools.partial(context.run, call, *args, **kwargs)
        )

    def counting(self, interface: str) -> Callable[[str, str, int, float], None]:
        """Give what counts the requests of an interface: method, path, status and seconds of each."""
        return (lambda *_: None) if self.metrics is None else functools.partial(self.metrics.count, interface)

    def require_ready(self) -> None:
        """Find out whether requests can be answered now.

        Raises:
            BannockError: they cannot; the store does not answer, for example.
        """
        with self.store.reading() as view:
            view.audit_head()

    def vouch(self, asker: KeyHash | None) -> int:
        """Tell how many changes the database has, to another replica: who has the key of this CAS.

        Raises:
            DeniedError: somebody else asks.
            BannockError: the store does not answer.
        """
        if asker is None or asker != self.key_hash:
            raise DeniedError("replicas of this CAS are told how many changes it has seen, and nobody else")
        self.require_ready()
        return self.store.changes

    def receipt(self, stored: StoredSession) -> str:
        """Give the word of this CAS for a version of a session."""
        return self._receipt(session=stored.name, generation=stored.generation, digest=stored.digest)

    def _statement(self, nonce: str | None, exporter: bytes) -> CasStatement:
        record = self.owner.record
        return self.self_attestation.statement(
            nonce=nonce,
            exporter=exporter,
            provisioned=record is not None,
            provisioning_required=self.owner.required,
            owner_secret_access=record is not None and record.secret_access,
        )

    def attest_itself(self, peer: Peer, nonce: str | None) -> dict[str, Any]:
        """Say what this CAS is to the other side of a connection, with evidence.

        Raises:
            BannockError: the LAS does not give evidence.
        """
        self.owner.refresh()
        statement = self._statement(nonce, peer.exporter or b"")
        return self.self_attestation.document(statement)

    def audit_head(self) -> ChainHead:
        """Give the end of the audit log; whoever keeps it can tell later that nothing before it was taken away."""
        with self.store.reading() as view:
            return view.audit_head()

    def audit_log(self, *, heads: Sequence[ChainHead] = ()) -> list[AuditEntry]:
        """Verify the audit log and give what it says.

        Args:
            heads: ends that it is known to have reached, beside the one in the store.

        Raises:
            IntegrityError: an entry was changed, removed, put in or moved, or entries at the end are missing.
        """
        return self.audit.verified(heads)

    def tend(self) -> None:
        """Do what has to be done now and then, and do not wait for others: refresh collateral, forget old evidence."""
        self.endorsing.tend()
        try:
            self.forecasting.tend()
        except BannockError as error:
            _log.warning("what is remembered of evidence cannot be looked through now: %s", error)

    def close(self) -> None:
        """Finish what is being done, and close the store."""
        self._workers.shutdown()
        self.endorsing.close()
        self.audit.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
