"""Tokens for services that were attested: the CAS's word on them, for parties that trust the CAS and ask nobody.

Thread-safe. A token says what was decided when the connection was attested. It is given as long as that still holds:
the session is the one that decided, and no statement of a vendor that the appraisal rests on has run out since.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bannock import __version__
from bannock.cas.commits import attested_of
from bannock.cas.derived_keys import token_key
from bannock.errors import ConflictError, DeniedError, NotFoundError
from bannock.evidence.compact_jws import ALGORITHM
from bannock.evidence.ear import trust_vector
from bannock.evidence.key_proof import require_key
from bannock.evidence.key_set import KeySet
from bannock.evidence.token import AttestationResult, sign_result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.cas.sessions import Sessions
    from bannock.cas.store import Store
    from bannock.evidence.appraisal import Appraisal
    from bannock.net.peer import Peer
    from bannock.policy.canonical import JsonValue
    from bannock.values import Measurement

__all__ = ["APPRAISED", "Appraised", "TokenRequest", "Tokens"]

#: Where the state of a peer has what its evidence came to.
APPRAISED: Final = "appraised"
_IDENTIFIER_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraised:
    """What the evidence of a connection came to, and when."""

    appraisal: Appraisal
    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What a service asks for.

    Attributes:
        audience: whom the token is for.
        lifetime: how many seconds it is to hold.
        nonce: of the relying party, or None.
        key: DER SubjectPublicKeyInfo that the token is to name, or None.
        proof: that the service has that key (:mod:`bannock.evidence.key_proof`).
    """

    audience: str
    lifetime: int
    nonce: str | None = None
    key: bytes | None = None
    proof: bytes = b""


class Tokens:
    """Signs tokens.

    Args:
        store: of the CAS, whose identity the key is derived from.
        sessions: to see whether a session has changed.
        issuer: what the CAS calls itself in tokens; None for a name that is made of its key.
        measurement: gives what software the CAS is.
    """

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        *,
        issuer: str | None,
        measurement: Callable[[], Measurement],
        random: Callable[[int], bytes],
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._key = token_key(store.identity)
        self._measurement = measurement
        self._random = random
        self._clock = clock
        self.issuer = issuer or f"urn:bannock:cas:{store.identity.key_hash}"
        self.key_set = KeySet.of(self._key.public_key())

    def discovery(self) -> dict[str, Any]:
        """Give the document by which programs find the keys of an issuer (OpenID Connect Discovery 1.0).

        Raises:
            NotFoundError: the configuration of this CAS does not say under which URL others reach it.
        """
        if not self.issuer.startswith("https://"):
            raise NotFoundError("this CAS has no URL as issuer", hint='set issuer = "https://…" in [tokens]')
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/.well-known/jwks.json",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }

    def issue(self, peer: Peer, request: TokenRequest) -> tuple[str, int]:
        """Give a token to the service that the connection was attested as, and for how many seconds it holds.

        Raises:
            DeniedError: it was not attested.
            ConflictError: what the attestation rested on has changed; the service has to be attested anew.
            EvidenceError: the service does not prove to have the key that the token is to name.
        """
        attested = attested_of(peer)
        appraised = peer.state.get(APPRAISED)
        if not isinstance(appraised, Appraised) or peer.exporter is None:
            raise DeniedError("this connection has not been attested")
        key = None if request.key is None else require_key(request.key, request.proof, peer.exporter)
        now = self._clock()
        until = appraised.appraisal.until
        if until is not None and now >= until:
            raise ConflictError(
                f"the evidence of service {attested.service} of session {attested.session} held until "
                f"{until.isoformat(timespec='seconds')}",
                hint="attest anew",
            )
        wished = now + dt.timedelta(seconds=request.lifetime)
        result = AttestationResult(
            issuer=self.issuer,
            audience=request.audience,
            session=attested.session,
            service=attested.service,
            digest=attested.digest,
            issued=now.replace(microsecond=0),
            expires=wished if until is None else min(wished, until),
            identifier=self._random(_IDENTIFIER_BYTES).hex(),
            nonce=request.nonce,
            key=key,
            build=f"bannock-cas {__version__} {self._measurement()}",
            vector=trust_vector(appraised.appraisal.claims, decided=attested.decided),
            attester_claims=_attester_claims(appraised.appraisal),
            verifier_claims=_verifier_claims(appraised),
        )
        with self._store.changing() as change:
            _, session = self._sessions.newest(change, attested.session)
            if session.digest != attested.digest:
                raise ConflictError(
                    f"session {attested.session} was changed since service {attested.service} was attested",
                    hint="attest anew",
                )
            change.audit(
                "token_issued",
                {
                    "session": attested.session,
                    "service": attested.service,
                    "audience": request.audience,
                    "token": result.identifier,
                    "expires": result.expires.isoformat(timespec="seconds"),
                    "enclave": str(peer.key_hash),
                },
            )
        return sign_result(result, self._key), int((result.expires - result.issued).total_seconds())


def _attester_claims(appraisal: Appraisal) -> Mapping[str, JsonValue]:
    """Say what the evidence says. Which physical machine it is, is nobody's business but the CAS's."""
    claims = appraisal.claims
    return {
        "platform": claims.platform,
        "rehearses": claims.rehearses,
        "mrenclave": str(claims.measurement),
        "mrsigner": str(claims.signer),
        "isvprodid": claims.product_id,
        "isvsvn": claims.svn,
        "dbgstat": "enabled" if claims.debug else "disabled",
        "attester": claims.attester,
        "machine": {**claims.machine},
    }


def _verifier_claims(appraised: Appraised) -> Mapping[str, JsonValue]:
    appraisal = appraised.appraisal
    until, as_of = appraisal.until, appraisal.tcb.as_of
    return {
        "attested": int(appraised.at.timestamp()),
        "until": None if until is None else int(until.timestamp()),
        "tcb_status": appraisal.tcb.status,
        "tcb_as_of": None if as_of is None else int(as_of.timestamp()),
        "weaknesses": [*sorted(appraisal.claims.weaknesses)],
        "advisories": [*sorted(appraisal.claims.advisories)],
        "warnings": [*appraisal.warnings],
    }
