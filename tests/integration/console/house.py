"""A CAS with something to look at: sessions that share, machines that are rehearsed, enclaves that are refused."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.tls import Identity
from bannock.values import Measurement
from tests.integration.cas.enclaves import enclave
from tests.integration.cas.forecast_site import Site
from tests.unit.cas.documents import MEASUREMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.net.client import Response

__all__ = ["CANARY", "HOSTILE", "House"]

#: A word in every value that is secret, in every form in which one can come into a session.
CANARY: Final = "c4n4ry"
#: A name that somebody chose in order to be more than a name: allowed for volumes and images.
HOSTILE: Final = """</title><script>alert(1)</script><img src=x onerror=alert(2)>"'`{{7*7}}\u202egpj.exe"""
_HEX: Final = CANARY.encode().hex()

_SHOP: Final = """
name: shop
version: "0.3.11"
secrets:
  - {name: api_key, kind: ascii, value: c4n4ry-api, export: [{session: shop/web}, {session: shop/billing}]}
  - {name: tls_ca_key, kind: private-key, export: {session: shop/web}}
  - {name: tls_ca, kind: x509-ca, private_key: tls_ca_key, common_name: Shop, export_public: true}
  - {name: backup_key, kind: binary, value: "HEX", export: {session: vendor/backup}}
volumes:
  - {name: orders, export: [{session: shop/billing}]}
access_policy: {read: [CREATOR, "ALICE"], update: [CREATOR]}
security: {attestation: {tolerate: [simulation]}}
"""
_WEB: Final = """
name: shop/web
version: "0.3.11"
services:
  - name: web
    image_name: web
    command: [web, --key, c4n4ry-argument, "$$SCONE::api_key$$"]
    environment: {KEY: c4n4ry-environment}
    mrenclaves: ["MEASUREMENT"]
images:
  - {name: web, injection_files: [{path: /etc/key, content: c4n4ry-file}]}
secrets:
  - {name: api_key, import: {session: shop, secret: api_key}}
  - {name: password, kind: ascii, size: 20}
access_policy: {read: [CREATOR, "ALICE"], update: [CREATOR]}
security: {attestation: {tolerate: [simulation], machines: [RULE]}}
"""
_BILLING: Final = """
name: shop/billing
version: "0.3.11"
services:
  - {name: billing, image_name: billing, command: billing, mrenclaves: ["MEASUREMENT"]}
images:
  - {name: billing, volumes: [{name: orders, path: /orders}, {name: invoices, path: /invoices}]}
volumes:
  - {name: orders, import: {session: shop, volume: orders}}
  - {name: invoices, fspf_key: KEY, fspf_tag: TAG}
secrets:
  - {name: api_key, import: {session: shop, secret: api_key}}
  - {name: rates, kind: ascii, import: {session: bank/rates, secret: rates}}
access_policy: {read: [CREATOR, "ALICE"], update: [CREATOR]}
security: {attestation: {tolerate: [simulation]}}
"""
_RATES: Final = """
name: rates
version: "0.3.11"
secrets:
  - {name: rates, kind: ascii, value: c4n4ry-rates}
access_policy: {read: [CREATOR], update: [CREATOR]}
"""
_HOSTILE_SESSION: Final = """
name: hostile
version: "0.3.11"
services:
  - {name: app, image_name: NAME, command: app, mrenclaves: ["MEASUREMENT"]}
images:
  - {name: NAME, volumes: [{name: NAME, path: /data}]}
volumes:
  - {name: NAME, export: {session: shop}}
access_policy: {read: [CREATOR, "ALICE"], update: [CREATOR]}
security: {attestation: {tolerate: [simulation]}}
"""


class House(Site):
    """A CAS with an owner, sessions of a shop that Alice may read too, and one that nobody but its creator may.

    Args:
        directory: of its files.
        hostile: whether there is a session whose names are an attack.
    """

    def __init__(self, directory: Path, *, hostile: bool = True) -> None:
        super().__init__(directory)
        self.alice = Identity.generate("alice")
        self.bob = Identity.generate("bob")
        self.creator = Identity.generate("creator")
        for text in (_SHOP, _WEB, _BILLING, _RATES, *((_HOSTILE_SESSION,) if hostile else ())):
            self.put(text)

    @property
    def address(self) -> Address:
        """Where clients reach it."""
        return Address("127.0.0.1", self._server.ports[0])

    def put(self, text: str) -> None:
        """Make a session, as its creator."""
        words = {
            "ALICE": str(self.alice.key_hash),
            "MEASUREMENT": str(MEASUREMENT),
            "RULE": self.rule("tdx"),
            "NAME": "'" + HOSTILE.replace("'", "''") + "'",
            "HEX": _HEX,
            "KEY": (CANARY.encode() * 6)[:32].hex(),
            "TAG": "ab" * 16,
        }
        for word, value in words.items():
            text = text.replace(word, value)
        self.cas.sessions.post(text, self.creator.key_hash)

    def run(self) -> None:
        """Have enclaves come: those that are expected, and others."""
        self.start("tdx", "shop/web", service="web")
        self.start("sgx", "shop/billing", service="billing")
        for session, service in (("shop/web", "web"), ("shop/billing", "billing")):
            with contextlib.suppress(DeniedError):
                self.start("tdx", session, service=service, measurement=Measurement(b"\x66" * 32))
        with contextlib.suppress(DeniedError):
            self.start("sgx", "shop/web", service="web")

    def start(self, platform: str, session: str, service: str = "app", measurement: Measurement = MEASUREMENT) -> None:
        """Start a service of a session on a machine, from some program."""
        address = Address("127.0.0.1", self._server.ports[1])
        with enclave(address, self.cas.key_hash, measurement) as app:
            app.attester = self.attesters[platform]
            app.attest(session=session, service=service)

    def get(self, who: Identity | None, path: str, method: str = "GET", body: bytes = b"") -> Response:
        """Ask for a page."""
        with connect(*self.address, who, expected_peer=self.cas.key_hash) as connection:
            return connection.request(method, path, body)

    def raw(self, who: Identity, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> int:
        """Send a request with headers that our own client does not send, and give the status of the answer."""
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "identity.pem"
            file.write_bytes(who.to_pem().reveal())
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.load_cert_chain(file)
        connection = http.client.HTTPSConnection(*self.address, context=context, timeout=30)
        try:
            connection.request(method, path, body, dict(headers))
            return connection.getresponse().status
        finally:
            connection.close()

    def text(self, who: Identity | None, path: str, status: int = 200) -> str:
        """Ask for a page that is to be there."""
        answer = self.get(who, path)
        assert answer.status == status, answer.body.decode()
        return answer.body.decode()
