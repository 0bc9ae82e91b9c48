"""Sessions whose secrets are in an Azure Key Vault, or that hold tokens of its directory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas
from bannock.cas.azure import AzureConfig
from bannock.errors import DeniedError, NotFoundError
from bannock.policy.certificates import CertificateBundle
from bannock.policy.template import Placeholder, SecretKind
from tests.unit.cas.azure_server import AzureServer
from tests.unit.cas.test_azure import _certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.cas import CasConfig
    from bannock.policy.resolved import ResolvedSecrets
    from bannock.values import KeyHash


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AzureServer]:
    """An Azure with one application."""
    path = tmp_path / "server.pem"
    path.write_bytes(_certificate().to_pem())
    with AzureServer(certificate=path, applications={"app": "canary-secret"}) as running:
        yield running


@pytest.fixture
def cas(config: CasConfig, server: AzureServer) -> Iterator[Cas]:
    """A CAS that asks that Azure."""
    azure = AzureConfig(authority=f"https://{server.host}", ca_file=server.certificate)
    with Cas(replace(config, azure=azure)) as opened:
        yield opened


def _session(server: AzureServer, name: str, secrets: str = "", *, credential: str = "canary-secret") -> str:
    return f"""
name: {name}
version: "0.3.10"
secrets:
  - {{name: token, kind: aad-token, tenant_id: tenant.example, client_id: app, application_secret: {credential}}}
{secrets.replace("VAULT", server.host)}
"""


def _values(cas: Cas, name: str) -> ResolvedSecrets:
    with cas.store.reading() as view:
        _, session = cas.sessions.newest(view, name)
    fetched = cas.sessions.secrets.fetch(session)
    with cas.store.changing() as change:
        return cas.sessions.secrets.values(change, session, fetched)


def test_a_token_is_a_secret_like_others(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """A service that names it has a fresh one."""
    cas.sessions.post(_session(server, "s"), alice)
    first, second = (_values(cas, "s").render(Placeholder.parse("token")).decode() for _ in range(2))
    assert {first, second} <= server.tokens
    assert first != second


def test_secrets_of_the_vault(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """By the name that they have there, with the one token of the session, as the kind that they look like."""
    bundle = _certificate("from-the-vault")
    server.stored |= {"abc": "a text", "own-name": "00ff", "pem": bundle.to_pem().decode()}
    secrets = """
  - {name: text, import_akv: {vault: VAULT, secret_name: abc}}
  - {name: own-name, kind: binary, import_akv: {vault: VAULT, token: $$SCONE::token$$}}
  - {name: cert, import_akv: {vault: "https://VAULT", secret_name: pem}}
"""
    cas.sessions.post(_session(server, "s", secrets), alice)
    values = _values(cas, "s")
    assert values.render(Placeholder.parse("text")) == b"a text"
    assert values.render(Placeholder.parse("own-name:hex")) == b"00ff"
    assert values.find("cert").kind is SecretKind.X509
    assert CertificateBundle.from_pem(values.find("cert").value.reveal()).certificate == bundle.certificate


def test_changes_in_the_vault_are_seen_at_once(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """Nothing of an imported secret is kept here."""
    server.stored["abc"] = "first"
    cas.sessions.post(_session(server, "s", "  - {name: text, import_akv: {vault: VAULT, secret_name: abc}}"), alice)
    assert _values(cas, "s").render(Placeholder.parse("text")) == b"first"
    server.stored["abc"] = "second"
    assert _values(cas, "s").render(Placeholder.parse("text")) == b"second"
    with cas.store.reading() as view:
        assert view.secret_values("s").secrets == {}


def test_other_sessions_import_what_is_in_the_vault(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """An imported secret of a session may be in a vault itself."""
    server.stored["abc"] = "shared"
    secret = "  - {name: text, import_akv: {vault: VAULT, secret_name: abc}, export: {session: client}}"
    cas.sessions.post(_session(server, "s", secret), alice)
    client = 'name: client\nversion: "0.3.10"\nsecrets: [{name: theirs, import: {session: s, secret: text}}]\n'
    cas.sessions.post(client, alice)
    assert _values(cas, "client").render(Placeholder.parse("theirs")) == b"shared"


def test_one_request_serves_whatever_asks_the_same(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """One token opens the vault for all secrets of a session."""
    server.stored |= {"a": "1", "b": "2"}
    secrets = "  - {name: a, import_akv: {vault: VAULT}}\n  - {name: b, import_akv: {vault: VAULT}}"
    cas.sessions.post(_session(server, "s", secrets), alice)
    server.requests.clear()
    _values(cas, "s")
    assert [request.split("?")[0] for request in server.requests] == [
        "POST /tenant.example/oauth2/v2.0/token",
        "GET /secrets/a",
        "GET /secrets/b",
    ]


def test_what_the_vault_does_not_give(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """The reason is the secret's, told where it is used; others are not affected; credentials are in no message."""
    secrets = """
  - {name: text, import_akv: {vault: VAULT, secret_name: missing}}
  - {name: fine, kind: ascii, value: fine}
"""
    cas.sessions.post(_session(server, "s", secrets), alice)
    values = _values(cas, "s")
    assert values.render(Placeholder.parse("fine")) == b"fine"
    with pytest.raises(NotFoundError, match="answers 404: SecretNotFound"):
        values.find("text")
    cas.sessions.post(_session(server, "t", secrets, credential="canary-wrong"), alice)
    with pytest.raises(DeniedError, match="answers 401: invalid_client") as caught:
        _values(cas, "t").find("text")
    assert "canary" not in str(caught.value)
