"""A server that speaks what is documented of Azure Active Directory and Azure Key Vault; tests talk HTTPS to it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import ssl
import threading
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from pathlib import Path

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TOKEN = re.compile(r"/(?P<tenant>[^/]+)/oauth2/v2\.0/token")
_SECRET = re.compile(r"/secrets/(?P<name>[0-9A-Za-z-]{1,127})\?api-version=7\.4")


@dataclass(kw_only=True)
class AzureServer:
    """Applications by identifier, each with its shared secret or its certificate; and the secrets of one vault.

    Attributes:
        certificate: PEM, private key first, of ``localhost``.
        requests: what was asked, in its order.
        answer: if it is set, every request is answered with this status, headers and body instead.
    """

    certificate: Path
    tenant: str = "tenant.example"
    applications: dict[str, str | x509.Certificate] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    answer: tuple[int, dict[str, str], bytes] | None = None

    def __enter__(self) -> Self:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*server.vault("GET", self.path, self.headers.get("Authorization", ""), b""))

            def do_PUT(self) -> None:
                self._answer(*server.vault("PUT", self.path, self.headers.get("Authorization", ""), self._body()))

            def do_POST(self) -> None:
                self._answer(*server.token(self.path, self._body()))

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers["Content-Length"]))

            def _answer(self, status: int, document: Any) -> None:
                server.requests.append(f"{self.command} {self.path}")
                status, headers, body = server.answer or (status, {}, json.dumps(document).encode())
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def host(self) -> str:
        """Where it listens, for directory and vault alike."""
        return f"localhost:{self._http.server_address[1]}"

    def token(self, path: str, body: bytes) -> tuple[int, Any]:
        """Answer the client credentials flow."""
        form = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))
        match = _TOKEN.fullmatch(path)
        expected = {"grant_type": "client_credentials", "scope": "https://vault.azure.net/.default"}
        if match is None or match["tenant"] != self.tenant or not expected.items() <= form.items():
            return 400, {"error": "invalid_request", "error_description": "AADSTS90014"}
        if not self._knows(form):
            return 401, {"error": "invalid_client", "error_description": f"AADSTS7000215 {form.get('client_secret')}"}
        token = secrets.token_urlsafe(32)
        self.tokens.add(token)
        return 200, {"token_type": "Bearer", "expires_in": 3599, "access_token": token}

    def vault(self, method: str, path: str, authorization: str, body: bytes) -> tuple[int, Any]:
        """Answer the Key Vault API."""
        match = _SECRET.fullmatch(path)
        if match is None:
            return 400, {"error": {"code": "BadParameter", "message": path}}
        if authorization.removeprefix("Bearer ") not in self.tokens:
            return 401, {"error": {"code": "Unauthorized", "message": authorization}}
        if method == "PUT":
            self.stored[match["name"]] = json.loads(body)["value"]
        if match["name"] not in self.stored:
            return 404, {"error": {"code": "SecretNotFound", "message": "not there"}}
        identifier = f"https://{self.host}/secrets/{match['name']}/4387e9f3d6e14c459867679a90fd0f79"
        return 200, {"value": self.stored[match["name"]], "id": identifier, "attributes": {"enabled": True}}

    def _knows(self, form: dict[str, str]) -> bool:
        credential = self.applications.get(form["client_id"])
        if not isinstance(credential, x509.Certificate):
            return credential is not None and secrets.compare_digest(credential, form.get("client_secret", ""))
        return form.get("client_assertion_type") == _ASSERTION and self._asserts(form, credential)

    def _asserts(self, form: dict[str, str], certificate: x509.Certificate) -> bool:
        signed, _, signature = form["client_assertion"].rpartition(".")
        header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        thumbprint = hashlib.sha1(certificate.public_bytes(Encoding.DER), usedforsecurity=False).digest()
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            key.verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        audience = f"https://{self.host}/{self.tenant}/oauth2/v2.0/token"
        return (
            header == {"alg": "RS256", "typ": "JWT", "x5t": base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()}
            and claims["aud"] == audience
            and claims["iss"] == claims["sub"] == form["client_id"]
            and claims["nbf"] < claims["exp"] <= claims["nbf"] + 600
            and len(claims["jti"]) >= 32
        )


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
