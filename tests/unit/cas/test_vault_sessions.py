"""Sessions whose secrets are in an Azure Key Vault, or that hold tokens of its directory."""

from __future__ import annotations

import base64
import datetime as dt
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas
from bannock.cas.azure import AzureConfig
from bannock.errors import BannockError, DeniedError, EnvironmentFault, IntegrityError, NotFoundError
from bannock.policy.certificates import CertificateBundle
from bannock.policy.template import Placeholder, SecretKind
from tests.unit.cas.azure_server import AzureServer
from tests.unit.cas.test_azure import _certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.cas import CasConfig
    from bannock.policy.resolved import ResolvedSecrets
    from bannock.policy.secret_values import SecretValues
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
    with pytest.raises(DeniedError, match="answers 404: SecretNotFound"):
        values.find("text")
    cas.sessions.post(_session(server, "t", secrets, credential="canary-wrong"), alice)
    with pytest.raises(DeniedError, match="answers 401: invalid_client") as caught:
        _values(cas, "t").find("text")
    assert "canary" not in str(caught.value)


def _stored(
    server: AzureServer, name: str, *, predecessor: str | None = None, extra: str = "", vault: str = ""
) -> str:
    before = f"predecessor: {predecessor}\n" if predecessor else ""
    secrets = f"""
  - {{name: password, kind: ascii}}
  - {{name: key, kind: private-key, migrate: true}}
  - {{name: cert, kind: x509, private_key: key, valid_for: 90 days}}
{extra}
"""
    config = f"secret_config: {{store_in: !akv {{token: $$SCONE::token$$, vault: {vault or server.host}}}}}\n"
    return _session(server, name, secrets) + before + config + "volumes: [{name: data}]\n"


def _in_database(cas: Cas, name: str) -> SecretValues:
    with cas.store.reading() as view:
        return view.secret_values(name)


def test_values_are_kept_in_the_vault_alone(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """The vault has ciphertext under names of hash and tag; the database has what opens it, and no value."""
    digest = cas.sessions.post(_stored(server, "s"), alice)
    assert len(server.stored) == 4
    assert all(re.fullmatch(f"cas-{digest}-[0-9a-f]{{32}}", name) for name in server.stored)
    values = _values(cas, "s")
    password = values.find("password").value.reveal()
    assert len(password) == 20
    for text in server.stored.values():
        assert password not in base64.b64decode(text)
    stored = _in_database(cas, "s")
    assert (stored.secrets, stored.volume_keys) == ({}, {})
    for hidden in (password, values.volume_key("data").reveal(), values.find("key").value.reveal()):
        assert hidden.hex().encode() not in stored.to_json()
    again = _values(cas, "s")
    assert again.find("password") == values.find("password")
    assert again.volume_key("data") == values.volume_key("data")


def _tampered(how: str, server: AzureServer) -> None:
    for name, text in list(server.stored.items()):
        if how == "deleted":
            del server.stored[name]
        elif how == "changed":
            server.stored[name] = base64.b64encode(b"\0" + base64.b64decode(text)[1:]).decode()
        elif how == "emptied":
            server.stored[name] = ""
        else:
            server.stored[name] = "not base64"
    if how == "exchanged":
        server.stored.update(zip(server.stored, reversed(server.stored.values()), strict=True))


@pytest.mark.parametrize("how", ["deleted", "changed", "emptied", "exchanged", "replaced"])
def test_what_is_done_to_values_in_the_vault_is_found_out(
    cas: Cas, server: AzureServer, alice: KeyHash, how: str
) -> None:
    """The session cannot be used then, nor updated; its text can still be read."""
    digest = cas.sessions.post(_stored(server, "s"), alice)
    _tampered(how, server)
    with pytest.raises(IntegrityError, match=r"is no longer in key vault|it was changed"):
        _values(cas, "s")
    with pytest.raises(IntegrityError):
        cas.sessions.post(_stored(server, "s", predecessor=digest), alice)
    assert cas.sessions.read("s", alice).digest == digest


def test_an_update_keeps_values_in_the_vault(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """They are put there anew, for the new version; those of the old one stay behind."""
    first = cas.sessions.post(_stored(server, "s"), alice)
    before = _values(cas, "s")
    second = cas.sessions.post(_stored(server, "s", predecessor=first, extra="  - {name: new, kind: ascii}"), alice)
    after = _values(cas, "s")
    assert after.find("password") == before.find("password")
    assert after.find("key").value == before.find("key").value
    assert after.volume_key("data") == before.volume_key("data")
    assert sum(name.startswith(f"cas-{first}") for name in server.stored) == 4
    assert sum(name.startswith(f"cas-{second}") for name in server.stored) == 5


def test_values_move_to_the_vault_and_back(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """An update that names another place takes the values there."""
    plain = _session(server, "s", "  - {name: password, kind: ascii}")
    first = cas.sessions.post(plain, alice)
    value = _values(cas, "s").find("password")
    second = cas.sessions.post(_stored(server, "s", predecessor=first), alice)
    assert _values(cas, "s").find("password") == value
    assert _in_database(cas, "s").secrets == {}
    cas.sessions.post(f"{plain}predecessor: {second}\nsecret_config:\n  store_in: !cas\n", alice)
    server.stored.clear()
    assert _values(cas, "s").find("password") == value


def test_sessions_import_what_is_kept_in_a_vault(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """Where values are kept is the exporting session's matter, for secrets and volumes."""
    shared = _stored(server, "s").replace(
        "{name: password, kind: ascii}", "{name: password, kind: ascii, export: {session: client}}"
    )
    shared = shared.replace("[{name: data}]", "[{name: data, export: [{session: client}]}]")
    cas.sessions.post(shared, alice)
    client = """
name: client
version: "0.3.10"
secrets: [{name: theirs, import: {session: s, secret: password}}]
volumes: [{name: mine, import: {session: s, volume: data}}]
"""
    cas.sessions.post(client, alice)
    values = _values(cas, "client")
    assert values.find("theirs").value == _values(cas, "s").find("password").value
    assert values.volume_key("mine") == _values(cas, "s").volume_key("data")


def test_certificates_of_a_session_in_a_vault_are_made_anew(
    config: CasConfig, server: AzureServer, alice: KeyHash
) -> None:
    """The new certificate, which is public, is kept in the database; all else stays where it is."""
    now = [dt.datetime.now(dt.UTC)]
    azure = AzureConfig(authority=f"https://{server.host}", ca_file=server.certificate)
    with Cas(replace(config, azure=azure), clock=lambda: now[0]) as cas:
        cas.sessions.post(_stored(server, "s"), alice)
        before = _values(cas, "s").find("cert")
        now[0] += dt.timedelta(days=61)
        after = _values(cas, "s").find("cert")
        assert after != before
        assert _values(cas, "s").find("cert") == after
        assert list(_in_database(cas, "s").secrets) == ["cert"]
        assert len(server.stored) == 4


def test_a_vault_that_takes_nothing(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """A session whose values cannot be kept is not made."""
    server.answer = 503, {}, b"{}"
    with pytest.raises(BannockError):
        cas.sessions.post(_stored(server, "s"), alice)
    server.answer = None
    with pytest.raises(EnvironmentFault, match="cannot reach"):
        cas.sessions.post(_stored(server, "s", vault="localhost:1"), alice)
    with pytest.raises(NotFoundError):
        cas.sessions.read("s", alice)


def test_public_values_of_a_session_in_a_vault(cas: Cas, server: AzureServer, alice: KeyHash) -> None:
    """They are read from there; and nobody makes the CAS ask the vault for what is not public."""
    public = "  - {name: greeting, kind: ascii, value: hello, export_public: true}"
    cas.sessions.post(_stored(server, "s", extra=public), alice)
    assert cas.reading.values("s") == {"greeting": "hello"}
    assert cas.reading.value("s", "greeting") == "hello"
    server.requests.clear()
    with pytest.raises(NotFoundError):
        cas.reading.value("s", "password")
    assert server.requests == []


def test_what_is_wrong_with_another_session_is_that_secrets_matter(
    cas: Cas, server: AzureServer, alice: KeyHash
) -> None:
    """A session that imports from one whose values were changed still has all else."""
    shared = _stored(server, "s").replace(
        "{name: password, kind: ascii}", "{name: password, kind: ascii, export: {session: client}}"
    )
    cas.sessions.post(shared, alice)
    client = (
        'name: client\nversion: "0.3.10"\nsecrets: [{name: theirs, import: {session: s, secret: password}}, OWN]\n'
    )
    cas.sessions.post(client.replace("OWN", "{name: own, kind: ascii, value: fine}"), alice)
    server.stored.clear()
    values = _values(cas, "client")
    assert values.render(Placeholder.parse("own")) == b"fine"
    with pytest.raises(DeniedError, match="secret password of session s cannot be imported: it was changed"):
        values.find("theirs")
