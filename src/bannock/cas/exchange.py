"""Secrets between two CASes: what the one asks, what the other answers, and how both prove what software they are.

Both sides are TLS identities. The key of the software is another one: each side signs the exporter value of the
connection with it, so a proof is good for this connection and for one direction.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from bannock.cas.config import ENCLAVE_PORT
from bannock.errors import Bug, DeniedError, EvidenceError, InputError, PeerError
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.policy.references import SessionReference
from bannock.policy.secret_values import SecretValue, require_value
from bannock.policy.sharing import Importer
from bannock.policy.template import SecretKind
from bannock.values import KeyHash, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.cas.requests import ImportRequest
    from bannock.cas.secrets import SecretService
    from bannock.net.peer import Peer
    from bannock.net.tls import Identity

__all__ = ["Exports", "import_secret"]

_log = logging.getLogger(__name__)

_IMPORTING: Final = b"importing"
_EXPORTING: Final = b"exporting"
_DOMAIN: Final = b"bannock cas software 1\0"
_PATH: Final = "/v1/exports"
_TIMEOUT_SECONDS: Final = 10.0
#: CASes that import from each other in a circle would wait for each other for ever.
_HOPS_MAX: Final = 4


class Exports:
    """The exporting side.

    Args:
        secrets: of the sessions here.
        software: gives the key of the software that runs.
    """

    def __init__(self, secrets: SecretService, software: Callable[[], Identity]) -> None:
        self._secrets = secrets
        self._software = software

    def give(self, peer: Peer, request: Mapping[str, Any]) -> dict[str, Any]:
        """Give a secret to a session on the CAS at the other side of a connection.

        Raises:
            DeniedError: there is no certificate, or the secret is not exported to that session of that CAS.
            EvidenceError: the other side does not have the key of software that it says it has.
            BannockError: the secret cannot be had, and why.
        """
        if peer.key_hash is None or peer.exporter is None:
            raise DeniedError("a CAS that imports shows its certificate: its key is who it is")
        if request["hops"] > _HOPS_MAX:
            raise DeniedError(f"a secret is imported through more than {_HOPS_MAX} CASes, or in a circle")
        software = _proven(request["software"], _IMPORTING, peer.exporter)
        importer = Importer(
            name=request["importer"], digest=request["importer_hash"], cas=frozenset({peer.key_hash, software})
        )
        reference = SessionReference(name=request["session"], digest=request["session_hash"])
        try:
            value = self._secrets.export(reference, request["secret"], importer, hops=request["hops"])
        except DeniedError as error:
            _log.warning("an export to the CAS %s is refused: %s", peer.key_hash, error)
            raise
        return {
            "kind": str(value.kind),
            "value": base64.b64encode(value.value.reveal()).decode("ascii"),
            "software": _proof(self._software(), _EXPORTING, peer.exporter),
        }


def import_secret(identity: Identity, software: Callable[[], Identity], request: ImportRequest) -> SecretValue:
    """Ask another CAS for a secret; the importing side.

    Raises:
        InputError: the session does not say by which key it knows the other CAS.
        PeerError: who answers is not that CAS, or not with that software, or does not answer with a secret.
        DeniedError: it does not export the secret to the session.
        EnvironmentFault: it cannot be reached.
    """
    cas = request.exporter.cas
    if cas is None or (cas.key is None and cas.software_key is None):
        raise InputError(
            f"the import of {request.secret} from another CAS names neither cas_key nor cas_software_key",
            hint="scone cas show-identification prints both",
        )
    host, port = Address.parse(cas.address, default_port=ENCLAVE_PORT)
    with connect(host, port, identity, expected_peer=cas.key, timeout=_TIMEOUT_SECONDS) as connection:
        exporter = connection.exporter()
        answer = connection.request_json(
            "POST",
            _PATH,
            {
                "session": request.exporter.name,
                "session_hash": request.exporter.digest,
                "secret": request.secret,
                "importer": request.importer,
                "importer_hash": request.digest,
                "hops": request.hops,
                "software": _proof(software(), _IMPORTING, exporter),
            },
        )
    where = f"CAS at {cas.address}"
    if cas.software_key is not None:
        _require_software(answer, cas.software_key, exporter, where)
    return _value(answer, where)


def _require_software(answer: object, expected: KeyHash, exporter: bytes, where: str) -> None:
    try:
        found = _proven(answer["software"], _EXPORTING, exporter) if isinstance(answer, dict) else None
    except (KeyError, EvidenceError) as error:
        raise PeerError(f"{where} does not prove what software it is") from error
    if found != expected:
        raise PeerError(
            f"the software of {where} is not the one expected: its key hash is {found}, expected {expected}",
            hint="after an update of that CAS, look at it anew: scone cas attest, scone cas show-identification -s",
        )


def _value(answer: object, where: str) -> SecretValue:
    try:
        if not isinstance(answer, dict):
            raise TypeError
        kind = SecretKind(answer["kind"])
        value = base64.b64decode(answer["value"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise PeerError(f"{where} answers with something other than a secret") from None
    found = SecretValue(kind=kind, value=Secret(value), generated=False)
    try:
        require_value(found)
    except InputError as error:
        raise PeerError(f"{where} answers with something other than a secret: {error.message}") from None
    return found


def _signed(role: bytes, exporter: bytes) -> bytes:
    return _DOMAIN + role + b"\0" + exporter


def _proof(software: Identity, role: bytes, exporter: bytes) -> dict[str, str]:
    key = software.private_key
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Bug("the key of the software is no elliptic curve key")
    signature = key.sign(_signed(role, exporter), ec.ECDSA(hashes.SHA256()))
    return {
        "key": base64.b64encode(software.public_key_der).decode("ascii"),
        "signature": base64.b64encode(signature).decode("ascii"),
    }


def _proven(proof: Mapping[str, str], role: bytes, exporter: bytes) -> KeyHash:
    """Give the key of the software that a proof is for.

    Raises:
        EvidenceError: it is no proof for this connection.
    """
    try:
        der, signature = (base64.b64decode(proof[name], validate=True) for name in ("key", "signature"))
        key = load_der_public_key(der)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise TypeError
        key.verify(signature, _signed(role, exporter), ec.ECDSA(hashes.SHA256()))
    except (KeyError, TypeError, ValueError, binascii.Error, InvalidSignature, UnsupportedAlgorithm):
        raise EvidenceError("the other CAS does not prove to have the key of its software") from None
    return KeyHash(hashlib.sha256(der).digest())
