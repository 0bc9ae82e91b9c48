"""The runtime's side of attestation: prove to a CAS what runs here, get a configuration, and keep the connection.

One round inside an established TLS 1.3 connection: the CAS gives a nonce, the evidence binds it to this very
connection (its exporter value) and to the enclave's key, so evidence can be neither replayed nor relayed.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self, TypeAlias
from urllib.parse import quote

from bannock.errors import ConflictError, EnvironmentFault, PeerError
from bannock.evidence.las_client import LasClient
from bannock.evidence.report import report_data
from bannock.net.client import connect
from bannock.net.problem import from_problem
from bannock.net.tls import Identity
from bannock.policy.configuration import Configuration

if TYPE_CHECKING:
    from bannock.identity.manifest import EnclaveManifest
    from bannock.identity.tree import MeasurementTree
    from bannock.net.client import Connection
    from bannock.runtime.settings import Attestation
    from bannock.values import FspfKey, FspfTag

__all__ = ["AttestedSession", "FspfTagKeeper", "VolumeTag"]

_log = logging.getLogger("bannock.runtime")

#: Learns the measurement tree and the platform.
Observer: TypeAlias = Callable[["MeasurementTree", str], None]

_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 0.2
_NONCE_BYTES: Final = 32


class AttestedSession:
    """What this enclave is to a CAS, and the connection on which it was proven; :meth:`establish` it.

    Attributes:
        configuration: what the session says that this service runs with.
    """

    def __init__(self, wanted: Attestation, manifest: EnclaveManifest, observer: Observer) -> None:
        self._wanted = wanted
        self._manifest = manifest
        self._observer = observer
        self._lock = threading.Lock()
        self._connection, self.configuration = self._attest()
        # What was given when the connection was last made; the files that are open are those of the first time.
        self._newest = self.configuration

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

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

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
        with self._lock:
            for attempt in range(_ATTEMPTS):
                try:
                    if attempt:
                        self._connection, self._newest = self._attest()
                    self._require_same(key_of(self.configuration), key_of(self._newest))
                    self._connection.request_json("POST", path, payload)
                except EnvironmentFault as error:
                    if attempt == _ATTEMPTS - 1:
                        raise
                    _log.warning("%s; trying again", error)
                    self._connection.close()
                    time.sleep(_PAUSE_SECONDS * 2**attempt)
                else:
                    return

    def _require_same(self, before: FspfKey | None, now: FspfKey | None) -> None:
        """Refuse to tell the CAS of states of one protection file for those of another that has its name by now."""
        if now is not None and now != before:
            raise ConflictError(
                f"what is open here was replaced by an update of session {self._wanted.session}",
                hint="start the service again",
            )

    def _attest(self) -> tuple[Connection, Configuration]:
        identity = Identity.generate("enclave", names=(), addresses=())
        wanted = self._wanted
        connection = connect(wanted.cas.host, wanted.cas.port, identity, expected_peer=wanted.cas_key)
        try:
            nonce = _nonce(connection.request_json("POST", "/v1/enclave/nonce", {}))
            data = report_data(nonce, connection.exporter(), identity.key_hash)
            evidence, tree = LasClient(wanted.las).report(self._manifest, data)
            document = json.loads(evidence)
            self._observer(tree, str(document["quote"]["platform"]))
            payload = {"session": wanted.session, "service": wanted.service, "evidence": document}
            answer = connection.request("POST", "/v1/enclave/attest", json.dumps(payload).encode())
            if answer.status != HTTPStatus.OK:
                raise from_problem(answer.status, answer.body)
            return connection, Configuration.from_json(answer.body)
        except BaseException:
            connection.close()
            raise


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


def _nonce(answer: object) -> bytes:
    try:
        nonce = bytes.fromhex(answer["nonce"])  # type: ignore[index] # what is no mapping is a TypeError, caught below
    except (TypeError, KeyError, ValueError) as error:
        raise PeerError("the CAS answered without a nonce") from error
    if len(nonce) != _NONCE_BYTES:
        raise PeerError(f"the nonce of the CAS has {len(nonce)} bytes, expected {_NONCE_BYTES}")
    return nonce
