"""Peers that show certificates, with every part open to attack."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.evidence.attester import KeyAttester, SimAttester
from bannock.evidence.ear import trust_vector
from bannock.evidence.ra_tls import AUDIENCE, RaTlsStatement, make_certificate
from bannock.evidence.report import Report
from bannock.evidence.token import AttestationResult, sign_result
from bannock.policy.claims import Claims
from bannock.relying import KeyHash, KeySet, Measurement

__all__ = ["AT", "CAS", "KEYS", "PROGRAM", "Made", "key", "key_hash", "token"]

AT: Final = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
CAS: Final = KeyHash(b"c" * 32)
PROGRAM: Final = Measurement(b"m" * 32)
_CAS_KEY: Final = ec.derive_private_key(99, ec.SECP256R1())
KEYS: Final = KeySet.of(_CAS_KEY.public_key())
_SGX: Final = Claims(
    platform="sgx", measurement=PROGRAM, signer=Measurement(bytes(32)), product_id=0, svn=0, debug=False
)


def key(number: int) -> ec.EllipticCurvePrivateKey:
    """Give one of many keys, always the same."""
    return ec.derive_private_key(1000 + number, ec.SECP256R1())


def key_hash(private: ec.EllipticCurvePrivateKey) -> KeyHash:
    """Give the hash of its public half."""
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return KeyHash(hashlib.sha256(public).digest())


def token(
    private: ec.EllipticCurvePrivateKey | None, signer: ec.EllipticCurvePrivateKey = _CAS_KEY, **change: object
) -> str:
    """Give the token of a service on SGX that has a key."""
    result = AttestationResult(
        issuer="urn:bannock:cas:K",
        audience=AUDIENCE,
        session="demo",
        service="app",
        digest="ab" * 32,
        issued=AT,
        expires=AT + dt.timedelta(hours=1),
        identifier="id",
        key=None if private is None else private.public_key(),
        build="bannock-cas 1",
        vector=trust_vector(_SGX, decided=True),
    )
    return sign_result(replace(result, **change), signer)  # type: ignore[arg-type]  # any field of it


@dataclass(kw_only=True)
class Made:
    """What a certificate is made of."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: key(1))
    attester: KeyAttester = field(default_factory=lambda: SimAttester(Ed25519PrivateKey.from_private_bytes(b"l" * 32)))
    statement: RaTlsStatement | None = None
    bound: bytes | None = None
    token: str | None = None
    lifetime: dt.timedelta = dt.timedelta(days=1)

    def der(self) -> bytes:
        """Make the certificate."""
        statement = self.statement or RaTlsStatement(key=key_hash(self.key), cas=CAS, session="demo", service="app")
        report = Report(
            measurement=PROGRAM,
            signer=Measurement(bytes(32)),
            product_id=0,
            svn=0,
            debug=False,
            data=self.bound or statement.report_data(),
        )
        evidence = self.attester.attest(report).to_json()
        certificate = make_certificate(
            self.key, statement, evidence=evidence, token=self.token, at=AT, lifetime=self.lifetime
        )
        return certificate.public_bytes(Encoding.DER)
