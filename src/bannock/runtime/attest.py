"""The runtime's side of attestation: prove to a CAS what runs here, get a configuration, and keep the connection.

A connection that is lost is made and attested anew, for as long as the settings say that a CAS may be away: an
application that writes waits meanwhile, and nothing that was told to be kept is lost.
"""

from __future__ import annotations

import logging
import threading
import time
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final, Self, TypeVar
from urllib.parse import quote

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.errors import ConflictError, EnvironmentFault, PeerError
from bannock.evidence.key_proof import prove_key
from bannock.runtime.attester import attester_of
from bannock.runtime.handshake import attest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from bannock.identity.manifest import EnclaveManifest
    from bannock.policy.configuration import Configuration
    from bannock.runtime.attester import Observer
    from bannock.runtime.settings import Attestation
    from bannock.values import FspfKey, FspfTag

__all__ = ["AttestedSession", "FspfTagKeeper", "VolumeTag"]

_log = logging.getLogger("bannock.runtime")

_Result = TypeVar("_Result")

_PAUSE_SECONDS: Final = 0.2
#: Many services wait for one CAS; those that wait long ask seldom.
_PAUSE_SECONDS_MAX: Final = 5.0
#: A line of the log says now and then that there is still nothing.
_REPORT_SECONDS: Final = 30.0


class AttestedSession:
    """What this enclave is to a CAS, and the connection on which it was proven; :meth:`establish` it.

    Attributes:
        configuration: what the session says that this service runs with.
        cas: who gave it; another one may be asked after that one was away, and configures nothing any more.
    """

    def __init__(self, wanted: Attestation, manifest: EnclaveManifest, observer: Observer) -> None:
        self._wanted = wanted
        self._manifest = manifest
        self._observer = observer
        self._lock = threading.Lock()
        # What was given when the connection was last made; the files that are open are those of the first time.
        self._attester = attester_of(wanted.las, wanted.mode)
        try:
            self._given = attest(wanted, self._attester, manifest, observer)
        except BaseException:
            self._attester.close()
            raise
        self.configuration = self._given.configuration
        self.cas = self._given.connection.peer_key_hash

    @classmethod
    def establish(cls, wanted: Attestation, manifest: EnclaveManifest, observer: Observer) -> Self:
        """Attest this process.

        Args:
            wanted: to whom, and as what.
            manifest: what a LAS gets to measure.
            observer: learns what was measured and on which platform, before the CAS decides.

        Raises:
            DeniedError: the CAS does not give the configuration to this enclave; the reasons are its own.
            PeerError: the CAS is not the one that is pinned, or one of the two services misbehaves.
            EnvironmentFault: one of the two services cannot be reached.
        """
        return cls(wanted, manifest, observer)

    def advance(self, volume: str, expected: FspfTag | None, new: FspfTag) -> None:
        """Move a volume of this service from one tag to the next (:class:`bannock.shield.volume.TagKeeper`).

        A connection that was lost is made and attested anew. Whether the move took place before it was lost does
        not matter: the CAS answers a second try for the same tag like the first.

        Raises:
            ConflictError: another tag is in force, or an update of the session replaced the volume.
            BannockError: the CAS could not be asked, or does not know this enclave any more.
        """
        path = f"/v1/enclave/volumes/{quote(volume, safe='')}/commit"
        self._advance(path, lambda found: _volume_key(found, volume), expected, new)

    def advance_fspf(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move the main protection file of this service from one tag to the next (:meth:`advance`)."""
        self._advance("/v1/enclave/fspf/commit", _fspf_key, expected, new)

    def secrets(self, placeholders: Collection[str]) -> Mapping[str, bytes]:
        """Ask for what placeholders of injected files stand for, each named as between ``$$SCONE::`` and ``$$``.

        Raises:
            BannockError: the session has no such secret, or the CAS could not be asked.
        """
        wanted = list(placeholders)
        answer = self._patiently(
            lambda: self._given.connection.request_json("POST", "/v1/enclave/secrets", {"placeholders": wanted})
        )
        try:
            return {name: b64decode(answer["values"][name], validate=True) for name in wanted}
        except (TypeError, KeyError, ValueError) as error:
            raise PeerError("the CAS answered without the secrets that were asked for") from error

    @property
    def names(self) -> tuple[str, str]:
        """Session and service."""
        return self._wanted.session, self._wanted.service

    def token(self, audience: str, lifetime: int, key: ec.EllipticCurvePrivateKey | None = None) -> tuple[str, int]:
        """Ask for a token for somebody else, that names a key if one is given; return for how many seconds it holds.

        Where the session was changed, or what the evidence rested on has run out, this process is attested anew.

        Raises:
            BannockError: the CAS does not vouch for this service any more, or could not be asked.
        """

        def ask() -> object:
            connection = self._given.connection
            wish: dict[str, object] = {"audience": audience, "lifetime": lifetime}
            if key is not None:
                public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                wish["key"] = b64encode(public).decode("ascii")
                wish["proof"] = b64encode(prove_key(key, connection.exporter())).decode("ascii")
            return connection.request_json("POST", "/v1/enclave/token", wish)

        try:
            answer = self._patiently(ask)
        except ConflictError as error:
            _log.info("%s; attesting anew", error)
            with self._lock:
                self._given.connection.close()
            answer = self._patiently(ask)
        try:
            return str(answer["token"]), int(answer["expires_in"])  # type: ignore[index]  # caught below
        except (TypeError, KeyError, ValueError) as error:
            raise PeerError("the CAS answered without the token that was asked for") from error

    def evidence(self, report_data: bytes) -> bytes:
        """Return evidence of this process that is bound to 64 bytes, in its envelope.

        Raises:
            BannockError: whoever gives evidence cannot, or is away.
        """
        with self._lock:
            return self._attester.attest(self._manifest, report_data).evidence

    def close(self) -> None:
        """End the connections."""
        self._given.connection.close()
        self._attester.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _advance(
        self,
        path: str,
        key_of: Callable[[Configuration], FspfKey | None],
        expected: FspfTag | None,
        new: FspfTag,
    ) -> None:
        payload = {"expected": None if expected is None else str(expected), "tag": str(new)}

        def commit() -> None:
            self._require_same(key_of(self.configuration), key_of(self._given.configuration))
            self._given.connection.request_json("POST", path, payload)

        self._patiently(commit)

    def _patiently(self, action: Callable[[], _Result]) -> _Result:
        """Do something on the connection, and on new ones while the CAS is away."""
        failure: EnvironmentFault | None = None
        with self._lock:
            try:
                return action()
            except EnvironmentFault as error:
                failure = error
            waiting = _Waiting(self._wanted.patience_seconds)
            try:
                while waiting.goes_on(failure):
                    self._given.connection.close()
                    try:
                        self._given = attest(
                            self._wanted, self._attester, self._manifest, self._observer, self._given.resumption
                        )
                        result = action()
                    except EnvironmentFault as error:
                        failure = error
                    else:
                        waiting.is_over()
                        return result
                raise EnvironmentFault(
                    f"the CAS was away for {self._wanted.patience_seconds:g} seconds",
                    hint="start the service again when it is back; BANNOCK_CAS_PATIENCE says for how long to wait",
                ) from failure
            finally:
                # Its traceback has this frame, and those of the commit that waits: they would keep each other, and
                # files open that are removed, until the collector comes by.
                failure = None

    def _require_same(self, before: FspfKey | None, now: FspfKey | None) -> None:
        """Refuse to tell the CAS of states of one protection file for those of another that has its name by now."""
        if now is not None and now != before:
            raise ConflictError(
                f"what is open here was replaced by an update of session {self._wanted.session}",
                hint="start the service again",
            )


class _Waiting:
    """Waits for a CAS that is away, ever longer, up to a bound; says so, but not at every try."""

    def __init__(self, seconds: float) -> None:
        self._since = time.monotonic()
        self._seconds = seconds
        self._pause = _PAUSE_SECONDS
        self._told: float | None = None

    def goes_on(self, failure: EnvironmentFault) -> bool:
        """Wait before the next try, if there is to be one."""
        now = time.monotonic()
        left = self._since + self._seconds - now
        if left <= 0:
            return False
        if self._told is None or now - self._told >= _REPORT_SECONDS:
            self._told = now
            _log.warning("%s; trying again for %.0f seconds, changes wait meanwhile", failure, left)
        time.sleep(min(self._pause, left))
        self._pause = min(2 * self._pause, _PAUSE_SECONDS_MAX)
        return True

    def is_over(self) -> None:
        """Say that there was an answer."""
        _log.warning("the CAS answers again, after %.1f seconds", time.monotonic() - self._since)


class VolumeTag:
    """Keeps the tag of one volume at the CAS (:class:`bannock.shield.volume.TagKeeper`)."""

    def __init__(self, session: AttestedSession, volume: str) -> None:
        self._session = session
        self._volume = volume

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move from one tag to the next (:meth:`AttestedSession.advance`)."""
        self._session.advance(self._volume, expected, new)
        _log.debug("volume %s: state %s", self._volume, new)


class FspfTagKeeper:
    """Keeps the tag of a service's main protection file at the CAS (:class:`bannock.shield.volume.TagKeeper`)."""

    def __init__(self, session: AttestedSession) -> None:
        self._session = session

    def advance(self, expected: FspfTag | None, new: FspfTag) -> None:
        """Move from one tag to the next (:meth:`AttestedSession.advance_fspf`)."""
        self._session.advance_fspf(expected, new)
        _log.debug("main protection file: state %s", new)


def _volume_key(configuration: Configuration, name: str) -> FspfKey | None:
    return next((volume.key for volume in configuration.volumes if volume.name == name), None)


def _fspf_key(configuration: Configuration) -> FspfKey | None:
    return None if configuration.fspf is None else configuration.fspf.key
