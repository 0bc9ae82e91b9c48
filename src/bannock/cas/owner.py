"""The owner of a CAS: who claimed it, and how they configured it.

Thread-safe; several processes may serve one store, and each of them looks for changes of the others
(:meth:`Owner.refresh`). Until a CAS has an owner, whoever knows the token that it prints at its start can become it.
"""

from __future__ import annotations

import hmac
import json
import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from bannock.cas.audit.config import AuditLogConfig, Mode
from bannock.cas.derived_keys import certified, provisioning_token
from bannock.cas.owner_config import ConfigFormat, OwnerConfig
from bannock.errors import ConflictError, DeniedError, InputError, IntegrityError
from bannock.policy.canonical import canonical_json
from bannock.values import KeyHash

if TYPE_CHECKING:
    from bannock.cas.audit.log import AuditLog
    from bannock.cas.store import Store
    from bannock.cas.transaction import View
    from bannock.net.tls import Identity
    from bannock.values import Secret

__all__ = ["Owner", "OwnerRecord"]

_log = logging.getLogger(__name__)

_SETTING: Final = "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRecord:
    """What the store keeps of the owner.

    Attributes:
        key_hash: who it is.
        text: the configuration as it was sent; it may hold credentials.
        form: how it is written.
        secret_access: whether the owner chose the key of the database.
    """

    key_hash: KeyHash
    text: str = field(repr=False)
    form: ConfigFormat
    secret_access: bool = False

    @property
    def config(self) -> OwnerConfig:
        """The configuration, parsed."""
        return OwnerConfig.parse(self.text, self.form)

    def to_json(self) -> bytes:
        """Serialise; the result is secret."""
        return canonical_json(
            {
                "owner": self.key_hash.value.hex(),
                "config": self.text,
                "format": str(self.form),
                "secret_access": self.secret_access,
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse what :meth:`to_json` gives.

        Raises:
            IntegrityError: it is anything else.
        """
        try:
            document = json.loads(data)
            return cls(
                key_hash=KeyHash.from_hex(document["owner"]),
                text=str(document["config"]),
                form=ConfigFormat(document["format"]),
                secret_access=document["secret_access"] is True,
            )
        except (ValueError, TypeError, KeyError, InputError) as error:
            raise IntegrityError("the stored record of the owner is malformed") from error


class Owner:
    """The owner of one CAS, or that it has none.

    Args:
        store: of the CAS.
        audit: its audit log, which is not started here.
        required: whether the CAS serves nobody before it has an owner.
        audit_log: how the audit log is written where the owner does not say.

    Raises:
        BannockError: the store cannot be read.
    """

    def __init__(self, store: Store, audit: AuditLog, *, required: bool, audit_log: AuditLogConfig) -> None:
        self.required: Final = required
        self._store = store
        self._audit = audit
        self._audit_default = audit_log
        self._lock = threading.Lock()
        self._shown: tuple[OwnerRecord, Identity] | None = None
        with store.reading() as view:
            self._record = _read(view)

    @property
    def token(self) -> str | None:
        """What the first owner has to show; None once there is one."""
        return provisioning_token(self._store.identity) if self.record is None else None

    @property
    def record(self) -> OwnerRecord | None:
        """The owner as this process knows it."""
        return self._record

    @property
    def subscription_key(self) -> Secret | None:
        """What the owner subscribed to Intel's service with."""
        dcap = None if self._record is None else self._record.config.dcap
        return None if dcap is None else dcap.subscription_key

    @property
    def audit_log(self) -> AuditLogConfig:
        """How the audit log is written: as the owner says, or else the operator."""
        return self._audit_log(self._record)

    def shown_identity(self) -> Identity:
        """Give the key of the CAS with the certificate that the owner wishes; the same object until it changes."""
        record = self._record
        if record is None:
            return self._store.identity
        shown = self._shown
        if shown is None or shown[0] is not record:
            wished = record.config.api_identity
            identity = self._store.identity
            shown = self._shown = record, identity if wished is None else certified(identity, wished)
        return shown[1]

    def refresh(self) -> None:
        """Take over what another process of this CAS has changed.

        Raises:
            BannockError: the store cannot be read.
        """
        with self._store.reading() as view:
            record = _read(view)
        with self._lock:
            if record != self._record:
                self._record = record
                self._store.journal.configure(self._audit_log(record))

    def require_provisioned(self) -> None:
        """Let nobody pass before there is an owner, where one is required.

        Raises:
            DeniedError: there is none.
        """
        if not self.required or self._record is not None:
            return
        self.refresh()
        if self._record is None:
            raise DeniedError(
                "this CAS has no owner yet, and serves nobody before",
                hint="claim it with the token that it printed at its start: scone cas provision",
            )

    def provision(
        self, client: KeyHash | None, token: str, text: str, form: ConfigFormat, database_key: Secret | None = None
    ) -> OwnerRecord:
        """Make a client the owner, for good.

        Args:
            client: who asks.
            token: what it shows for it.
            text: the configuration.
            form: how that is written.
            database_key: what opens the database from now on, so that the owner can, too; everybody is told of it.

        Raises:
            InputError: the configuration is not usable.
            DeniedError: the client has no certificate, or the token is not the one that the CAS printed.
            ConflictError: there is an owner; the same one may ask again, with the same configuration.
        """
        if client is None:
            raise DeniedError("a client certificate is needed: its key becomes the owner of this CAS")
        if not hmac.compare_digest(token.encode("utf-8"), provisioning_token(self._store.identity).encode("ascii")):
            _log.warning("%s tried to become the owner with a wrong token", client)
            raise DeniedError(
                "the provisioning token is not the one of this CAS",
                hint="it is on the console of the CAS, printed at its start",
            )
        record = OwnerRecord(key_hash=client, text=text, form=form, secret_access=database_key is not None)
        config = record.config
        with self._lock:
            self._save(record, config, "cas_provisioned", expected=None)
        if database_key is not None:
            # After everybody can know it, and before there is anything to read.
            self._store.rekey(key=database_key, data=True)
        _log.info("%s is now the owner of this CAS", client)
        return record

    def read(self, client: KeyHash | None) -> OwnerRecord:
        """Give its configuration to the owner.

        Raises:
            DeniedError: the client is not the owner.
        """
        with self._store.reading() as view:
            return require_owner(view, client)

    def update(self, client: KeyHash | None, text: str, form: ConfigFormat) -> OwnerRecord:
        """Replace the configuration.

        Raises:
            InputError: it is not usable.
            DeniedError: the client is not the owner.
        """
        with self._store.reading() as view:
            before = require_owner(view, client)
        record = OwnerRecord(key_hash=before.key_hash, text=text, form=form, secret_access=before.secret_access)
        config = record.config
        with self._lock:
            self._save(record, config, "owner_config_updated", expected=before.key_hash)
        return record

    def _save(self, record: OwnerRecord, config: OwnerConfig, event: str, *, expected: KeyHash | None) -> None:
        """Write the record, and the audit log in the way that it says; that one of them fails changes neither."""
        before, after = self._store.journal.config, config.audit_log or self._audit_default
        with self._store.reading() as view:
            self._changed(view, record, expected)
        if after.mode is not Mode.DISABLED:
            self._audit.configure(after)
        try:
            with self._store.changing() as change:
                if self._changed(change, record, expected):
                    change.put_setting(_SETTING, record.to_json())
                    change.audit(event, {"owner": str(record.key_hash)})
        except BaseException:
            self._audit.configure(before)
            raise
        self._audit.configure(after)
        self._record = record

    def _changed(self, view: View, record: OwnerRecord, expected: KeyHash | None) -> bool:
        found = _read(view)
        if expected is None and found is not None and found != record:
            raise ConflictError("this CAS has an owner already", hint="its owner updates its configuration")
        if expected is None and found is None and record.secret_access and view.has_sessions():
            raise ConflictError(
                "a database key is for a CAS without sessions: those were not made for its owner to read",
                hint="start a new CAS, and give it the key",
            )
        return found != record

    def _audit_log(self, record: OwnerRecord | None) -> AuditLogConfig:
        if record is None:
            return self._audit_default
        return record.config.audit_log or self._audit_default


def require_owner(view: View, client: KeyHash | None) -> OwnerRecord:
    """Give the record of the owner to nobody but the owner.

    Raises:
        DeniedError: the client is somebody else, or there is no owner.
    """
    record = _read(view)
    if record is None:
        raise DeniedError("this CAS has no owner yet", hint="claim it first: scone cas provision")
    if client is None or client != record.key_hash:
        raise DeniedError("only the owner of this CAS may do this", hint="use the identity that provisioned it")
    return record


def _read(view: View) -> OwnerRecord | None:
    found = view.setting(_SETTING)
    return None if found is None else OwnerRecord.from_json(found)
