"""One attestation of this process to a CAS: from a connection to the configuration of a service.

One round inside an established TLS 1.3 connection: the CAS gives a nonce, the evidence binds it to this very
connection (its exporter value) and to the enclave's key, so evidence can be neither replayed nor relayed. A service
access token is proven by both sides on the same connection and never sent.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, Bug, EnvironmentFault, PeerError
from bannock.evidence.report import report_data
from bannock.net.client import connect
from bannock.net.problem import challenge_in, from_problem
from bannock.net.tls import Identity
from bannock.policy.access_token import Side, prove_access_token, verify_access_token
from bannock.policy.configuration import Configuration
from bannock.runtime.attester import Activatable

if TYPE_CHECKING:
    from bannock.identity.manifest import EnclaveManifest
    from bannock.net.address import Address
    from bannock.net.client import Connection, Response
    from bannock.runtime.attester import Attester, Observer
    from bannock.runtime.settings import Attestation
    from bannock.values import KeyHash

__all__ = ["Given", "attest"]

_log = logging.getLogger("bannock.runtime")

_NONCE_BYTES: Final = 32
#: A connection that is taken and not answered is given up for a new one, which may reach another process.
_ROUNDS: Final = 3
_PAUSE_SECONDS: Final = 0.2
#: Headers of the answer: what else a runtime learns than what the application runs with.
_PROOF: Final = "bannock-access-proof"
_RESUMPTION: Final = "bannock-resumption"
_HEADER_CHARACTERS_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What an attestation gives.

    Attributes:
        connection: on which it took place, and on which the service can go on speaking.
        configuration: what the service runs with.
        resumption: what proves, after a lost connection, that this start was let in already; None where evidence will
            do. It is a secret.
    """

    connection: Connection
    configuration: Configuration
    resumption: str | None


def attest(
    wanted: Attestation,
    attester: Attester,
    manifest: EnclaveManifest,
    observer: Observer,
    resumption: str | None = None,
) -> Given:
    """Attest this process once.

    Args:
        wanted: to whom, and as what.
        attester: gives evidence of this process.
        manifest: what is measured.
        observer: learns what was measured and on which platform, before the CAS decides.
        resumption: of the start's first attestation, which its one-time password was spent for.

    Raises:
        DeniedError: the CAS does not give the configuration to this enclave, or does not know the service access
            token; the reasons are its own.
        PeerError: the CAS is not the one that is pinned, or one of the two services misbehaves.
        EnvironmentFault: one of the two services cannot be reached.
    """
    identity = Identity.generate("enclave", names=(), addresses=())
    connection, nonce = _open(wanted, identity)
    try:
        presenting = _Presenting(wanted, attester, manifest, observer, resumption, connection, identity.key_hash)
        answer = presenting.present(nonce)
        challenge = None if answer.status == HTTPStatus.OK else challenge_in(answer.body)
        if challenge is not None and isinstance(attester, Activatable):
            _log.info("the CAS does not know the key of this machine's hardware yet, and asks it to prove itself")
            attester.activate(challenge)
            answer = presenting.present(_nonce(connection.request_json("POST", "/v1/enclave/nonce", {})))
        if answer.status != HTTPStatus.OK:
            raise _told(answer)
        # Before anything of the answer is believed.
        _require_proof(wanted, connection, answer)
        return Given(
            connection=connection,
            configuration=Configuration.from_json(answer.body),
            resumption=answer.headers.get(_RESUMPTION, "")[:_HEADER_CHARACTERS_MAX] or None,
        )
    except BaseException:
        connection.close()
        raise


@dataclass(frozen=True, slots=True)
class _Presenting:
    """Presents evidence of this process on a connection."""

    wanted: Attestation
    attester: Attester
    manifest: EnclaveManifest
    observer: Observer
    resumption: str | None
    connection: Connection
    key: KeyHash

    def present(self, nonce: bytes) -> Response:
        """Present evidence for a nonce."""
        data = report_data(nonce, self.connection.exporter(), self.key)
        attested = self.attester.attest(self.manifest, data)
        self.observer(attested)
        evidence = json.loads(attested.evidence)
        payload = {"session": self.wanted.session, "service": self.wanted.service, "evidence": evidence}
        payload |= _factors(self.wanted, self.connection, self.resumption)
        return self.connection.request("POST", "/v1/enclave/attest", json.dumps(payload).encode())


def _open(wanted: Attestation, identity: Identity) -> tuple[Connection, bytes]:
    """Find a process of the CAS that answers: it is asked at each of its addresses, and then once more."""
    failure: EnvironmentFault | None = None
    try:
        for number in range(_ROUNDS):
            if failure is not None:
                _log.info("%s; trying again", failure)
                time.sleep(_PAUSE_SECONDS * 2**number)
            for host in _hosts(wanted.cas):
                try:
                    return _open_one(wanted, host, identity)
                except EnvironmentFault as error:
                    failure = error
        raise failure or Bug("there was no try to reach the CAS")
    finally:
        # Else its traceback, which has this frame, and this frame would keep each other.
        failure = None


def _open_one(wanted: Attestation, host: str, identity: Identity) -> tuple[Connection, bytes]:
    connection = connect(host, wanted.cas.port, identity, expected_peer=wanted.cas_key, timeout=wanted.connect_seconds)
    try:
        nonce = _nonce(connection.request_json("POST", "/v1/enclave/nonce", {}))
        connection.set_timeout(wanted.answer_seconds)
    except BaseException:
        connection.close()
        raise
    return connection, nonce


def _hosts(cas: Address) -> list[str]:
    """Give the addresses of a host, or its name where there is one alone, for messages that people understand."""
    try:
        found = socket.getaddrinfo(cas.host, cas.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return [cas.host]  # connecting tells what is wrong with it
    hosts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return hosts if len(hosts) > 1 else [cas.host]


def _factors(wanted: Attestation, connection: Connection, resumption: str | None) -> dict[str, str]:
    """Give what a start proves besides its evidence."""
    factors: dict[str, str] = {}
    if wanted.access_token is not None:
        proof = prove_access_token(wanted.access_token, Side.SERVICE, connection.exporter())
        factors["access_proof"] = proof.hex()
    if resumption is not None:
        factors["resumption"] = resumption
    elif wanted.one_time_password is not None:
        factors["one_time_password"] = wanted.one_time_password
    return factors


def _require_proof(wanted: Attestation, connection: Connection, answer: Response) -> None:
    if wanted.access_token is None:
        return
    text = answer.headers.get(_PROOF, "")[:_HEADER_CHARACTERS_MAX]
    try:
        proof = bytes.fromhex(text) if text else None
    except ValueError as error:
        raise PeerError("the CAS answered with a malformed proof of the service access token") from error
    verify_access_token(wanted.access_token, Side.CAS, connection.exporter(), proof)


def _told(answer: Response) -> BannockError:
    """Give the error that a CAS answers with, in the words that users look for."""
    error = from_problem(answer.status, answer.body)
    told = type(error)(
        f"CAS sent an attestation/configuration error: {error.message}", reasons=error.reasons, hint=error.hint
    )
    told.__cause__ = error.__cause__
    return told


def _nonce(answer: object) -> bytes:
    try:
        nonce = bytes.fromhex(answer["nonce"])  # type: ignore[index] # what is no mapping is a TypeError, caught below
    except (TypeError, KeyError, ValueError) as error:
        raise PeerError("the CAS answered without a nonce") from error
    if len(nonce) != _NONCE_BYTES:
        raise PeerError(f"the nonce of the CAS has {len(nonce)} bytes, expected {_NONCE_BYTES}")
    return nonce
