"""Secrets of every kind in the configuration that an attested service gets, over real TLS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from tests.unit.cas.documents import MEASUREMENT

if TYPE_CHECKING:
    from bannock.cas import EmbeddedCas
    from bannock.net.client import Connection
    from tests.integration.cas.enclaves import Enclave

_SESSION = f"""
name: demo
version: "0.3.10"
services:
  - name: app
    image_name: image
    command: [run, --password, $$SCONE::text$$, --key, "$$SCONE::bytes:hex$$"]
    environment:
      JSON: '{{"pem": "$$SCONE::cert|escape(json)$$"}}'
      KEY: $$SCONE::key$$
      PGP: $$SCONE::pgp:publickey:asciiarmored$$
      FRAGMENT: $$SCONE::fragment$$
    attestation:
      - mrenclave: [$$SCONE::allowed$$]
images:
  - name: image
    injection_files:
      - path: /etc/chain.pem
        content: $$SCONE::cert:crt$$$$SCONE::cert:chain$$
      - path: /etc/server.p12
        permission: 0o400
        content: $$SCONE::cert:pkcs12-with-private-key$$
      - path: /etc/bytes
        content: "[$$SCONE::bytes$$]"
secrets:
  - {{name: text, kind: ascii, value: "pass word $$x"}}
  - {{name: bytes, kind: binary, value: 00ff10}}
  - {{name: key, kind: private-key, key_type: Ed25519}}
  - {{name: ca-key, kind: private-key, key_type: P-384}}
  - {{name: ca, kind: x509-ca, private_key: ca-key, export_public: true}}
  - {{name: cert, kind: x509, private_key: key, issuer: ca, san: ["dns:app.example", "ip:192.0.2.1"]}}
  - {{name: pgp, kind: pgp-key, export_public: true}}
  - {{name: fragment, kind: config-fragment, value: [a, b]}}
  - {{name: allowed, kind: config-fragment, value: ["{MEASUREMENT}"]}}
security: {{attestation: {{tolerate: [simulation]}}}}
"""


def test_secrets_of_every_kind_reach_the_service(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """In arguments, environment and files; what is public is what clients read, and it fits together."""
    assert client.request("POST", "/v1/sessions", _SESSION.encode()).status == 201
    got = app.attest()
    assert got.argv == ("run", "--password", "pass word $$x", "--key", "00ff10")
    certificate = x509.load_pem_x509_certificate(json.loads(got.environment["JSON"])["pem"].encode())
    key = load_pem_private_key(got.environment["KEY"].encode(), password=None)
    assert certificate.public_key() == key.public_key()
    assert got.environment["FRAGMENT"] == '["a","b"]'
    files = {file.path: file for file in got.files}
    chain, archive, raw = (
        content.reveal()
        for path in ("/etc/chain.pem", "/etc/server.p12", "/etc/bytes")
        if (content := files[path].content) is not None
    )
    leaf, authority = x509.load_pem_x509_certificates(chain)
    assert leaf == certificate
    leaf.verify_directly_issued_by(authority)
    opened = pkcs12.load_pkcs12(archive, b"")
    assert opened.cert is not None
    assert opened.cert.certificate == leaf
    assert files["/etc/server.p12"].mode == 0o400
    assert raw == b"[\x00\xff\x10]"
    public = client.request_json("GET", "/v1/values/session=demo")["values"]
    assert x509.load_pem_x509_certificate(public["ca"]["value"].encode()) == authority
    assert public["pgp"]["value"] == got.environment["PGP"]
    assert set(public) == {"ca", "pgp"}
    assert cas.cas.audit_log()[-1].event == "service_attested"
