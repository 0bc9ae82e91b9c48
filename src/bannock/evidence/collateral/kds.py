"""AMD's Key Distribution Service: certificates of chips, of those who issue them, and the revocation lists over them.

Facts of the API: AMD 57230, "Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from bannock.errors import EvidenceError, NotFoundError, PeerError
from bannock.evidence.collateral.x509_parts import certificates_in, crls_in

if TYPE_CHECKING:
    from bannock.evidence.collateral.needs import AmdChainNeed, VcekNeed
    from bannock.evidence.collateral.web import VendorWeb
    from bannock.evidence.collateral.x509_parts import Certificate, Crl

__all__ = ["AMD_KDS", "Kds"]

AMD_KDS: Final = "https://kdsintf.amd.com"


class Kds:
    """A client of the service, or of a cache that speaks the same."""

    def __init__(self, web: VendorWeb, base: str = AMD_KDS) -> None:
        self._web = web
        self._base = base.rstrip("/")

    def chip(self, need: VcekNeed) -> Certificate:
        """Ask for the certificate of a chip at a level; it is not verified.

        Raises:
            BannockError: the service has none, cannot be reached, or answers with something else.
        """
        query = urlencode([(name, f"{level:02}") for name, level in need.levels])
        for product in need.products:
            try:
                found = self._certificates(str(need), f"vcek/v1/{product}/{need.chip_id}?{query}")
            except NotFoundError:
                if product == need.products[-1]:
                    raise
                continue
            if len(found) == 1 and found[0].answers(need):
                return found[0]
            break
        raise PeerError(f"{self._base} was asked for the {need}, and answers with another certificate")

    def chain(self, need: AmdChainNeed) -> list[Certificate]:
        """Ask for the certificates above those of chips of a product; they are not verified.

        Raises:
            BannockError: as :meth:`chip`.
        """
        return self._certificates(str(need), f"{need.signer}/v1/{need.product}/cert_chain")

    def revoked(self, need: AmdChainNeed) -> Crl:
        """Ask for the revocation list over them; it is not verified.

        Raises:
            BannockError: as :meth:`chip`.
        """
        what = f"the CRL of {need.product}"
        answer = self._web.get(what, f"{self._base}/{need.signer}/v1/{need.product}/crl")
        try:
            found = crls_in(answer.body)
        except EvidenceError as error:
            raise PeerError(f"{self._base} answers with something other than {what}") from error
        if len(found) != 1:
            raise PeerError(f"{self._base} answers with {len(found)} lists for {what}")
        return found[0]

    def _certificates(self, what: str, path: str) -> list[Certificate]:
        answer = self._web.get(what, f"{self._base}/{path}")
        try:
            return certificates_in(answer.body)
        except EvidenceError as error:
            raise PeerError(f"{self._base} answers with something other than the {what}") from error
