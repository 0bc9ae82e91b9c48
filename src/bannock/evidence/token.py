"""Tokens: what a CAS says of an enclave that it attested, to whoever trusts the CAS. Pure; time is an argument.

A token is an EAT Attestation Result (draft-ietf-rats-ear-04) as a JWT, signed with ES256 by a key of the CAS, so every
library for JWTs verifies it. docs/relying-parties.md describes it for other programs.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

from bannock.errors import EvidenceError
from bannock.evidence.compact_jws import CompactJws, sign_compact
from bannock.evidence.ear import PROFILE, Tier, status_of
from bannock.evidence.key_set import jwk_of, key_of, thumbprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from bannock.evidence.key_set import JwkKey, KeySet
    from bannock.policy.canonical import JsonValue

__all__ = ["LEEWAY_SECONDS", "TOKEN_CHARACTERS_MAX", "AttestationResult", "sign_result", "verify_token"]

TOKEN_CHARACTERS_MAX: Final = 64 << 10
#: How far the clocks of signer and verifier may be apart.
LEEWAY_SECONDS: Final = 60
#: RFC 9782; a token of another type is never taken for one (RFC 8725, section 3.11).
_TYPE: Final = "eat+jwt"
_ATTESTER: Final = "enclave"
_POLICY: Final = "urn:bannock:session:"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationResult:
    """What a token says.

    Attributes:
        issuer: who says it.
        audience: to whom.
        session, service: what the enclave is.
        digest: hash of the version of the session that it was accepted by.
        issued, expires: from when until when it holds.
        identifier: of the token.
        nonce: of whoever asked for it, or None.
        key: that the service has proven to have, or None.
        build: the software of the CAS.
        vector: how far each aspect is to be trusted (:func:`~bannock.evidence.ear.trust_vector`).
        attester_claims: what the evidence says, for example ``mrenclave`` and ``platform``.
        verifier_claims: what the CAS found, for example ``tcb_status`` and ``advisories``.
    """

    issuer: str
    audience: str
    session: str
    service: str
    digest: str
    issued: dt.datetime
    expires: dt.datetime
    identifier: str
    nonce: str | None = None
    key: JwkKey | None = None
    build: str
    vector: Mapping[str, int]
    attester_claims: Mapping[str, JsonValue] = field(default_factory=dict)
    verifier_claims: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def status(self) -> Tier:
        """The tier of the worst aspect."""
        return status_of(self.vector)

    def to_claims(self) -> dict[str, JsonValue]:
        """Give the claims of the token."""
        claims: dict[str, JsonValue] = {
            "eat_profile": PROFILE,
            "iss": self.issuer,
            "sub": f"{self.session}/{self.service}",
            "aud": self.audience,
            "iat": int(self.issued.timestamp()),
            "nbf": int(self.issued.timestamp()),
            "exp": int(self.expires.timestamp()),
            "jti": self.identifier,
            "ear_verifier_id": {"developer": "Bannock", "build": self.build},
            "ear_status": self.status.value,
            "submods": {_ATTESTER: self._appraisal()},
        }
        if self.nonce is not None:
            claims["eat_nonce"] = self.nonce
        if self.key is not None:
            claims["cnf"] = {"jwk": {**jwk_of(self.key)}}
        return claims

    def _appraisal(self) -> dict[str, JsonValue]:
        return {
            "ear_status": self.status.value,
            "ear_trustworthiness_vector": {**self.vector},
            "ear_appraisal_policy_ids": [f"{_POLICY}{quote(self.session, safe='/~')}:{self.digest}"],
            "ear_attester_claims": {**self.attester_claims},
            "ear_verifier_claims": {
                **self.verifier_claims,
                "session": self.session,
                "service": self.service,
                "session_hash": self.digest,
            },
        }

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> Self:
        """Parse what :meth:`to_claims` gives; what is not known is passed over, as the specification says.

        Raises:
            EvidenceError: it is anything else.
        """
        if claims.get("eat_profile") != PROFILE:
            raise EvidenceError(f"the token is no attestation result of profile {PROFILE}")
        try:
            appraisal = claims["submods"][_ATTESTER]
            attester, verifier = appraisal["ear_attester_claims"], appraisal["ear_verifier_claims"]
            result = cls(
                issuer=_text(claims["iss"]),
                audience=_text(claims["aud"]),
                session=_text(verifier["session"]),
                service=_text(verifier["service"]),
                digest=_text(verifier["session_hash"]),
                issued=_time(claims["iat"]),
                expires=_time(claims["exp"]),
                identifier=_text(claims["jti"]),
                nonce=None if claims.get("eat_nonce") is None else _text(claims["eat_nonce"]),
                key=None if "cnf" not in claims else key_of(claims["cnf"]["jwk"]),
                build=_text(claims["ear_verifier_id"]["build"]),
                vector={
                    _text(name): _number(value) for name, value in appraisal["ear_trustworthiness_vector"].items()
                },
                attester_claims=dict(attester),
                verifier_claims=dict(verifier),
            )
            told = Tier(appraisal["ear_status"])
            whole = Tier(claims["ear_status"])
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError) as error:
            raise EvidenceError("the token does not say what attestation results say") from error
        if told is not result.status or whole is not told:
            raise EvidenceError("the status of the token is not that of its trustworthiness vector")
        return result


def sign_result(result: AttestationResult, key: ec.EllipticCurvePrivateKey) -> str:
    """Make the token of a result."""
    kid = thumbprint(jwk_of(key.public_key()))
    return sign_compact({"typ": _TYPE, "kid": kid}, result.to_claims(), key)


def verify_token(
    text: str, keys: KeySet, *, audience: str, issuer: str | None = None, nonce: str | None = None, at: dt.datetime
) -> AttestationResult:
    """Verify a token and give what it says. Whether that suffices is for the relying party to decide.

    Args:
        text: the token.
        keys: of the CAS.
        audience: to whom it has to be issued: the relying party itself.
        issuer: who has to have issued it; None for whoever has a key of the set.
        nonce: what it has to be asked for with; None does not look at it.
        at: the time of the verdict.

    Raises:
        EvidenceError: it is malformed, not authentic, for somebody else, or not valid at that time.
    """
    jws = CompactJws.parse(text, "token", limit=TOKEN_CHARACTERS_MAX)
    if jws.header.get("typ") != _TYPE:
        raise EvidenceError(f"the token is of type {str(jws.header.get('typ'))[:40]!r}, expected {_TYPE}")
    result = AttestationResult.from_claims(jws.verify(keys.find(jws.header.get("kid"))))
    if result.audience != audience:
        raise EvidenceError(
            f"the token is for another relying party: its audience is {result.audience[:256]!r}, expected {audience!r}"
        )
    if issuer is not None and result.issuer != issuer:
        raise EvidenceError(f"the token is of the issuer {result.issuer[:256]!r}, expected {issuer!r}")
    leeway = dt.timedelta(seconds=LEEWAY_SECONDS)
    if at >= result.expires + leeway:
        raise EvidenceError(f"the token held until {result.expires.isoformat()}, it is {at.isoformat()} now")
    if at < result.issued - leeway:
        raise EvidenceError(f"the token holds from {result.issued.isoformat()} on, it is {at.isoformat()} now")
    if nonce is not None and result.nonce != nonce:
        raise EvidenceError("the token was asked for with another nonce: it may be an old one")
    return result


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError(value)
    return value


def _time(value: object) -> dt.datetime:
    return dt.datetime.fromtimestamp(_number(value), dt.UTC)
