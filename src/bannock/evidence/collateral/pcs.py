"""Intel's Provisioning Certification Service, version 4, and the caches of others that speak the same (PCCS).

Facts of the API: Intel's "Provisioning Certification Service" documentation, version 4, and the "SGX DCAP Caching
Service Design Guide" for what a cache does otherwise (revocation lists in hexadecimal, a route for the root's).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import NotFoundError, PeerError
from bannock.evidence.collateral.intel import IntelCollateral
from bannock.evidence.collateral.x509_parts import MALFORMED
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.evidence.collateral.needs import IntelNeed
    from bannock.evidence.collateral.web import Answer, VendorWeb
    from bannock.values import Secret

__all__ = ["INTEL_PCS", "Pcs"]

INTEL_PCS: Final = "https://api.trustedservices.intel.com"
#: Where Intel has the revocation list of its root; a cache has a route for it.
_ROOT_CRL: Final = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
_KEY_HEADER: Final = "Ocp-Apim-Subscription-Key"
_PEM_CRL: Final = b"-----BEGIN X509 CRL-----"
_CHAIN_CHARACTERS_MAX: Final = 32 << 10


class Pcs:
    """A client of one service.

    Args:
        web: asks.
        base: address of the service; paths of the API are below it.
        subscription_key: gives what Intel's service knows a subscriber by, or None.
        root_crl: where the revocation list of the root is, where the service itself does not have it.
    """

    def __init__(
        self,
        web: VendorWeb,
        base: str = INTEL_PCS,
        *,
        subscription_key: Callable[[], Secret | None] = lambda: None,
        root_crl: str = _ROOT_CRL,
    ) -> None:
        self._web = web
        self._base = base.rstrip("/")
        self._subscription_key = subscription_key
        self._root_crl = root_crl

    def collateral(self, need: IntelNeed) -> IntelCollateral:
        """Ask for all that a family of processors needs; it is not verified.

        Raises:
            BannockError: the service has none, cannot be reached, or answers with something else.
        """
        tcb = self._get(f"TCB info of {need}", f"{need.tee}/certification/v4/tcb?fmspc={quote(need.fmspc)}")
        identity = self._get(f"the QE identity of {need.tee.upper()}", f"{need.tee}/certification/v4/qe/identity")
        pck = self._get(
            f"the CRL of the {need.ca} CA", f"sgx/certification/v4/pckcrl?ca={quote(need.ca)}&encoding=der"
        )
        root = self._root()
        info, info_signature = _signed(tcb.body, "tcbInfo")
        enclave, enclave_signature = _signed(identity.body, "enclaveIdentity")
        text = canonical_json(
            {
                "pck_crl_issuer_chain": _chain(pck, "sgx-pck-crl-issuer-chain"),
                "root_ca_crl": _crl(root).hex(),
                "pck_crl": _crl(pck).hex(),
                "tcb_info_issuer_chain": _chain(tcb, "tcb-info-issuer-chain", "sgx-tcb-info-issuer-chain"),
                "tcb_info": info,
                "tcb_info_signature": info_signature,
                "qe_identity_issuer_chain": _chain(identity, "sgx-enclave-identity-issuer-chain"),
                "qe_identity": enclave,
                "qe_identity_signature": enclave_signature,
            }
        ).decode("utf-8")
        found = IntelCollateral.parse(text)
        if found.need != need:
            raise PeerError(f"{self._base} was asked for collateral of {need}, and answers with that of {found.need}")
        return found

    def _get(self, what: str, path: str) -> Answer:
        key = self._subscription_key()
        headers: Mapping[str, str] = {} if key is None else {_KEY_HEADER: key.reveal().decode("utf-8")}
        return self._web.get(what, f"{self._base}/{path}", headers)

    def _root(self) -> Answer:
        """Ask for the revocation list of the root: Intel has it elsewhere, a cache where all else is."""
        what = "the CRL of Intel's root"
        if urlsplit(self._base).hostname == urlsplit(INTEL_PCS).hostname:
            return self._web.get(what, self._root_crl)
        try:
            return self._get(what, "sgx/certification/v4/rootcacrl")
        except NotFoundError:
            return self._web.get(what, self._root_crl)


def _signed(body: bytes, name: str) -> tuple[str, str]:
    """Take the document that is signed, byte for byte, and its signature out of an answer."""
    try:
        text = body.decode("utf-8")
        document = json.loads(text)
        signature = document["signature"]
        bytes.fromhex(signature)
        return _value_of(text, name), str(signature)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PeerError(f"an answer of the service has no signed {name}") from error


def _value_of(text: str, name: str) -> str:
    """Find the text of a member's value: it is what was signed, whatever a parser would make of it."""
    decoder = json.JSONDecoder()
    at = text.index("{") + 1
    while True:
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
        key, at = decoder.raw_decode(text, at)
        at = text.index(":", at) + 1
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
        _, end = decoder.raw_decode(text, at)
        if key == name:
            return text[at:end]
        at = end


def _chain(answer: Answer, *names: str) -> str:
    """Read the certificates that issue what is in an answer: percent-encoded PEM in a header."""
    for name in names:
        if name in answer.headers:
            chain = unquote(answer.headers[name][:_CHAIN_CHARACTERS_MAX])
            if not chain.isascii():
                break
            return chain
    raise PeerError(f"an answer of the service has no header {names[0]} with certificates")


def _crl(answer: Answer) -> bytes:
    """Read a revocation list: DER, its hexadecimal digits (as caches have it), or PEM."""
    body = answer.body
    try:
        if body.startswith(_PEM_CRL):
            return x509.load_pem_x509_crl(body).public_bytes(Encoding.DER)
        if body[:1] != b"\x30":
            body = bytes.fromhex(body.decode("ascii").strip().strip('"'))
        x509.load_der_x509_crl(body)
    except MALFORMED as error:
        raise PeerError("an answer of the service is no certificate revocation list") from error
    return body
