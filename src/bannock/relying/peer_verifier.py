"""Whether the key that a peer has proven in a TLS handshake is that of the service that it has to be.

Thread-safe: a verifier has no state. Verifying asks nobody.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.errors import DeniedError, EnvironmentFault, EvidenceError
from bannock.evidence.ear import Tier
from bannock.evidence.enclave_expectations import enclave_findings
from bannock.evidence.endorsements import NO_ENDORSEMENTS
from bannock.evidence.ra_tls import AUDIENCE, RaTlsCertificate
from bannock.evidence.token import verify_token
from bannock.evidence.verifier import verify

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from bannock.evidence.appraisal import Finding
    from bannock.evidence.enclave_expectations import EnclaveExpectations
    from bannock.evidence.endorsements import Endorsements
    from bannock.evidence.key_set import KeySet
    from bannock.evidence.token import AttestationResult
    from bannock.policy.claims import Claims
    from bannock.values import KeyHash

__all__ = ["ByEvidence", "ByToken", "Peer", "PeerVerifier"]

_AFFIRMING: Final = frozenset({Tier.AFFIRMING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ByToken:
    """Rely on a CAS: on the token in the certificate.

    Attributes:
        keys: of the CAS.
        session, service: what the peer has to be.
        session_hash: the version of the session; None: any, as its owners change it.
        statuses: what the CAS has to think of it.
        issuer: who the CAS has to be in its own words; None: whoever has a key of the set.
    """

    keys: KeySet
    session: str
    service: str
    session_hash: str | None = None
    statuses: frozenset[Tier] = _AFFIRMING
    issuer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ByEvidence:
    """Rely on the vendor of the platform, and on nobody else: on the evidence in the certificate.

    Attributes:
        enclave: what the program and its platform have to be.
        cas: the key of the CAS that has to have configured it. The same program that another CAS configured has other
            arguments, files and secrets; None accepts that.
        session, service: what it has to be configured as; None: anything of that CAS.
        endorsements: what vendors vouch for, beside what comes with the evidence.
    """

    enclave: EnclaveExpectations
    cas: KeyHash | None
    session: str | None
    service: str | None
    endorsements: Endorsements = NO_ENDORSEMENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A peer that is what it has to be.

    Attributes:
        session, service: what it is.
        cas: who configured it, if its evidence was relied on, which vouches for that.
        result: what the CAS says of it, if that was relied on.
        claims: what its evidence says, if that was relied on.
        warnings: what a person should know.
        findings: why this is believed.
    """

    session: str
    service: str
    cas: KeyHash | None = None
    result: AttestationResult | None = None
    claims: Claims | None = None
    warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


Expected: TypeAlias = ByToken | ByEvidence


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class PeerVerifier:
    """Verifies RA-TLS certificates.

    Args:
        expected: what is relied on, and what peers have to be.
        clock: gives the time.
    """

    def __init__(self, expected: Expected, *, clock: Callable[[], dt.datetime] = _now) -> None:
        self._expected = expected
        self._clock = clock

    def verify(self, certificate: bytes | None) -> Peer:
        """Accept a certificate, DER, whose key the peer has proven in a handshake.

        For a socket of :mod:`ssl` it is ``getpeercert(binary_form=True)``. Nothing may be sent to the peer, or
        believed of it, before this returns.

        Raises:
            EvidenceError: the peer showed none, it carries nothing that holds, or that is for another key.
            DeniedError: it holds, and the peer is not what is expected; its reasons say everything that differs.
        """
        if not certificate:
            raise EvidenceError("the peer has shown no certificate")
        at = self._clock()
        shown = RaTlsCertificate.from_der(certificate)
        shown.require_valid(at)
        match self._expected:
            case ByToken():
                return _by_token(shown, self._expected, at)
            case ByEvidence():
                return _by_evidence(shown, self._expected, at)
            case _:
                assert_never(self._expected)

    def wrap(self, connected: socket.socket) -> ssl.SSLSocket:
        """Speak TLS 1.3 as a client on a connected socket, with a peer that was verified.

        Raises:
            EnvironmentFault: the handshake fails.
            EvidenceError, DeniedError: as :meth:`verify`; the connection is closed.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # The key is verified instead of a chain and a name: by what follows.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            wrapped = context.wrap_socket(connected)
        except OSError as error:
            raise EnvironmentFault(f"the TLS handshake with the peer failed: {error.strerror or error}") from error
        try:
            self.verify(wrapped.getpeercert(binary_form=True))
        except BaseException:
            with contextlib.suppress(OSError):
                wrapped.close()
            raise
        return wrapped


def _by_token(shown: RaTlsCertificate, expected: ByToken, at: dt.datetime) -> Peer:
    if shown.token is None:
        raise EvidenceError("the certificate carries no attestation result of a CAS")
    result = verify_token(shown.token, expected.keys, audience=AUDIENCE, issuer=expected.issuer, at=at)
    key = None if result.key is None else result.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key != shown.key:
        raise EvidenceError("the attestation result in the certificate is for another key than the certificate's")
    differing = [
        f"{what} is {found!r}, expected {wanted!r}"
        for what, found, wanted in (
            ("the session of the peer", result.session, expected.session),
            ("the service of the peer", result.service, expected.service),
            ("the hash of its session", result.digest, expected.session_hash),
        )
        if wanted is not None and found != wanted
    ]
    if result.status not in expected.statuses:
        accepted = " or ".join(sorted(expected.statuses))
        differing.append(f"the CAS finds the peer {result.status}, expected {accepted}: {_vector(result)}")
    _require_nothing(differing)
    return Peer(session=result.session, service=result.service, result=result)


def _by_evidence(shown: RaTlsCertificate, expected: ByEvidence, at: dt.datetime) -> Peer:
    statement = shown.statement
    appraisal = verify(
        shown.evidence, expected_report_data=statement.report_data(), at=at, endorsements=expected.endorsements
    )
    findings = (*appraisal.findings, *enclave_findings(appraisal.claims, expected.enclave, "peer"))
    differing = [finding.what for finding in findings if finding.holds is False]
    differing += [
        f"{what} is {found}, expected {wanted}"
        for what, found, wanted in (
            ("the CAS that configured the peer", statement.cas, expected.cas),
            ("the session of the peer", statement.session, expected.session),
            ("the service of the peer", statement.service, expected.service),
        )
        if wanted is not None and found != wanted
    ]
    _require_nothing(differing)
    return Peer(
        session=statement.session,
        service=statement.service,
        cas=statement.cas,
        claims=appraisal.claims,
        warnings=appraisal.warnings,
        findings=findings,
    )


def _require_nothing(differing: list[str]) -> None:
    if differing:
        raise DeniedError("the peer is not the service that is expected", reasons=differing)


def _vector(result: AttestationResult) -> str:
    return ", ".join(f"{aspect} {value}" for aspect, value in sorted(result.vector.items()))
