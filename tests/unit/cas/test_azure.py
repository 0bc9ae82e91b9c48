"""Azure Active Directory and Azure Key Vault, over real HTTPS to a server that speaks their documented APIs."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.cas.azure import Azure, AzureConfig
from bannock.cas.requests import TokenRequest, VaultRequest
from bannock.cas.vault import fetch_token, fetch_vault_secret
from bannock.errors import BannockError, DeniedError, EnvironmentFault, InputError, NotFoundError, PeerError, render
from bannock.policy.certificates import CertificateBundle, CertificateProfile, issue
from bannock.policy.private_keys import make_private_key, private_key_pem
from bannock.policy.secret_specs import AadToken, KeyType
from bannock.policy.template import SecretKind
from bannock.values import Secret
from tests.unit.cas.azure_server import AzureServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NOW = dt.datetime.now(dt.UTC)


def _certificate(name: str = "localhost", key_type: KeyType = KeyType.P256) -> CertificateBundle:
    key = make_private_key(key_type, os.urandom)
    profile = CertificateProfile(common_name=name, authority=False, dns_names=(name,))
    return replace(issue(profile, key, None, random=os.urandom, now=_NOW), private_key=key)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AzureServer]:
    """An Azure with one application that has a shared secret."""
    path = tmp_path / "server.pem"
    path.write_bytes(_certificate().to_pem())
    with AzureServer(certificate=path, applications={"app": "canary-secret"}) as running:
        yield running


@pytest.fixture
def azure(server: AzureServer) -> Azure:
    """A client that trusts it."""
    config = AzureConfig(authority=f"https://{server.host}", ca_file=server.certificate)
    return Azure(config, clock=lambda: _NOW, random=os.urandom)


_TOKEN = AadToken(tenant_id="tenant.example", client_id="app", application_secret=Secret(b"canary-secret"))


def test_a_token_for_a_shared_secret_opens_the_vault(server: AzureServer, azure: Azure) -> None:
    """The token is a value that services can use, and reads what the vault has."""
    token = fetch_token(azure, TokenRequest(token=_TOKEN))
    assert token.kind is SecretKind.AAD_TOKEN
    assert token.value.reveal().decode() in server.tokens
    server.stored["abc"] = "the value"
    assert azure.get(server.host, "abc", token.value).reveal() == b"the value"
    assert azure.get(f"https://{server.host}/", "abc", token.value).reveal() == b"the value"


def test_a_token_for_the_key_of_a_certificate(server: AzureServer, azure: Azure) -> None:
    """The application signs an assertion with its key; one with another key, or thumbprint, is refused."""
    registered, other = _certificate("app", KeyType.RSA2048), _certificate("app", KeyType.RSA2048)
    server.applications["app"] = registered.certificate
    thumbprint = hashlib.sha1(registered.certificate.public_bytes(Encoding.DER), usedforsecurity=False).hexdigest()

    def asked(bundle: CertificateBundle, thumbprint: str) -> AadToken:
        return AadToken(
            tenant_id="tenant.example",
            client_id="app",
            private_key=private_key_pem(bundle.key()),
            certificate_thumbprint=thumbprint,
        )

    assert azure.token(asked(registered, thumbprint.upper())).reveal().decode() in server.tokens
    for wrong in (asked(other, thumbprint), asked(registered, "00" * 20)):
        with pytest.raises(DeniedError, match="invalid_client"):
            azure.token(wrong)
    for unusable in (
        asked(registered, "short"),
        asked(_certificate("app"), thumbprint),
        AadToken(tenant_id="tenant.example", client_id="app"),
        replace(_TOKEN, tenant_id="a/../b"),
    ):
        with pytest.raises(InputError):
            azure.token(unusable)


def test_what_is_written_is_read(server: AzureServer, azure: Azure) -> None:
    """The newest version counts."""
    token = azure.token(_TOKEN)
    azure.put(server.host, "name", token, "first")
    azure.put(server.host, "name", token, "sécond\n")
    assert azure.get(server.host, "name", token).reveal().decode() == "sécond\n"


def test_refusals_tell_the_code_and_no_secret(server: AzureServer, azure: Azure) -> None:
    """Neither credentials nor tokens nor what the other side repeats of them are in messages."""
    wrong = replace(_TOKEN, application_secret=Secret(b"canary-wrong"))
    calls: list[tuple[type[BannockError], str, Callable[[], object]]] = [
        (DeniedError, "answers 401: invalid_client", lambda: azure.token(wrong)),
        (DeniedError, "answers 400: invalid_request", lambda: azure.token(replace(_TOKEN, tenant_id="other"))),
        (DeniedError, "answers 401: Unauthorized", lambda: azure.get(server.host, "abc", Secret(b"canary-token"))),
        (NotFoundError, "answers 404: SecretNotFound", lambda: azure.get(server.host, "abc", azure.token(_TOKEN))),
    ]
    for family, code, call in calls:
        with pytest.raises(family, match=code) as caught:
            call()
        assert "canary" not in "\n".join(render(caught.value))


def test_an_unknown_authority_is_not_trusted(server: AzureServer) -> None:
    """Without a certificate of an authority that is trusted, nothing is sent."""
    azure = Azure(AzureConfig(authority=f"https://{server.host}"), clock=lambda: _NOW, random=os.urandom)
    with pytest.raises(EnvironmentFault, match="certificate verify failed"):
        azure.token(_TOKEN)
    assert server.requests == []


def test_nothing_is_followed_and_nothing_but_https_is_spoken(server: AzureServer, azure: Azure) -> None:
    """A token goes to the vault that the session names, and nowhere else."""
    token = azure.token(_TOKEN)
    server.answer = 302, {"Location": f"https://{server.host}/elsewhere"}, b""
    before = len(server.requests)
    with pytest.raises(PeerError, match="answers 302"):
        azure.get(server.host, "abc", token)
    assert len(server.requests) == before + 1
    for vault in ("http://localhost", "localhost/path", "user@localhost", "", "a b"):
        with pytest.raises(InputError, match="a key vault is a host name"):
            azure.get(vault, "abc", token)
    for name in ("", "a/b", "a?b", "a" * 128):
        with pytest.raises(InputError, match="letters, digits and dashes"):
            azure.get(server.host, name, token)
    plain = Azure(AzureConfig(authority="http://localhost"), clock=lambda: _NOW, random=os.urandom)
    with pytest.raises(InputError, match="over https"):
        plain.token(_TOKEN)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"{}", b'{"value": 1}', b'{"access_token": "a\\nb"}', b"[" * 100_000, b" " * (2 << 20)]
)
def test_answers_that_are_none(server: AzureServer, azure: Azure, body: bytes) -> None:
    """Whatever comes back is a value or our error."""
    server.answer = 200, {}, body
    with pytest.raises(PeerError):
        azure.token(_TOKEN)
    with pytest.raises(PeerError):
        azure.get(server.host, "abc", Secret(b"t"))


def test_nobody_there(azure: Azure) -> None:
    """A vault that cannot be reached is named."""
    with pytest.raises(EnvironmentFault, match=r"cannot reach Azure Key Vault localhost:1, secret abc: .*refused"):
        azure.get("localhost:1", "abc", Secret(b"t"))


def test_kinds_of_vault_secrets(server: AzureServer, azure: Azure) -> None:
    """The kind that the session names; without one, PEM certificates are certificates, and all else is text."""
    token = azure.token(_TOKEN)
    bundle = _certificate("imported")
    server.stored |= {"pem": bundle.to_pem().decode(), "text": "a text", "hex": "00Ff", "pkcs12": "MIIKdAIBAzCC"}

    def fetched(name: str, kind: SecretKind | None = None) -> tuple[SecretKind, bytes]:
        found = fetch_vault_secret(azure, VaultRequest(vault=server.host, secret_name=name, token=token, kind=kind))
        return found.kind, found.value.reveal()

    assert fetched("text") == (SecretKind.ASCII, b"a text")
    assert fetched("pkcs12") == (SecretKind.ASCII, b"MIIKdAIBAzCC")
    assert fetched("hex", SecretKind.BINARY) == (SecretKind.BINARY, b"\x00\xff")
    kind, value = fetched("pem")
    assert kind is SecretKind.X509
    assert CertificateBundle.from_pem(value).to_pem() == bundle.to_pem()
    assert fetched("pem", SecretKind.ASCII) == (SecretKind.ASCII, bundle.to_pem())
    for name, wrong in (("text", SecretKind.BINARY), ("text", SecretKind.X509), ("text", SecretKind.PRIVATE_KEY)):
        with pytest.raises(InputError, match=f"secret text of key vault .* is not of kind {wrong}"):
            fetched(name, wrong)
