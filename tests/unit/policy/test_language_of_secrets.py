"""Secrets of every kind as documents write them: what arrives, and what is refused."""

from __future__ import annotations

import datetime as dt
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bannock.policy import parse_session
from bannock.policy.secret_specs import (
    AadToken,
    Endpoint,
    ExplicitCertificate,
    ExplicitValue,
    FragmentValue,
    GeneratedCertificate,
    GeneratedPgpKey,
    GeneratedPrivateKey,
    KeyType,
    SessionCertificate,
    VaultValue,
)
from bannock.policy.session import SecretKey, VaultStore
from bannock.policy.template import SecretKind
from bannock.values import Secret
from tests.unit.policy.documents import issues_of, only_issue, parse, session_text

_KEY: Final = ec.generate_private_key(ec.SECP256R1())
KEY_PEM: Final = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode("ascii")
_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
CERTIFICATE_PEM: Final = (
    x509.CertificateBuilder()
    .subject_name(_NAME)
    .issuer_name(_NAME)
    .public_key(_KEY.public_key())
    .serial_number(1)
    .not_valid_before(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    .not_valid_after(dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
    .sign(_KEY, hashes.SHA256())
    .public_bytes(serialization.Encoding.PEM)
    .decode("ascii")
)
_GENERATED_KEY: Final = "{name: key, kind: private-key}"


def _block(text: str) -> str:
    """Write text as a JSON string, which is YAML too."""
    return '"' + text.replace("\n", "\\n") + '"'


def _only(written: str, *others: str) -> object:
    return parse(rest=f"secrets: [{', '.join((written, *others))}]").secrets[0].source


def test_private_keys() -> None:
    """Keys are made in the type that is asked for, or given in PEM."""
    assert _only("{name: s, kind: private-key}") == GeneratedPrivateKey()
    assert _only("{name: s, kind: private-key, key_type: Ed25519, migrate: true}") == GeneratedPrivateKey(
        key_type=KeyType.ED25519, migrate=True
    )
    assert _only(f"{{name: s, kind: private-key, value: {_block(KEY_PEM)}}}") == ExplicitValue(
        value=Secret(KEY_PEM.encode("ascii"))
    )


@pytest.mark.parametrize("key_type", list(KeyType))
def test_types_of_keys(key_type: KeyType) -> None:
    """Every type of the language is one."""
    assert _only(f"{{name: s, kind: private-key, key_type: {key_type}}}") == GeneratedPrivateKey(key_type=key_type)


def test_certificates() -> None:
    """What a certificate is to say arrives, names in both spellings."""
    written = """{name: s, kind: x509, private_key: key, issuer: ca, common_name: example.com, valid_for: 90 days,
      endpoint: server, dns: [a.example.com, b.example.com], san: ["dns:*.api.example.com", "dns:a.example.com",
      "ip:192.168.1.2", "ip:2001:db8:3333:4444:5555:6666:7777:8888"]}"""
    source = _only(written, _GENERATED_KEY, "{name: ca, kind: x509-ca, private_key: key, common_name: My own CA}")
    assert source == GeneratedCertificate(
        private_key="key",
        issuer="ca",
        common_name="example.com",
        endpoint=Endpoint.SERVER,
        dns_names=("a.example.com", "b.example.com", "*.api.example.com"),
        addresses=("192.168.1.2", "2001:db8:3333:4444:5555:6666:7777:8888"),
        valid_for=dt.timedelta(days=90),
    )


def test_explicit_certificates() -> None:
    """A certificate that is given may have its key and its issuer beside it, and stands for itself without."""
    value = _block(CERTIFICATE_PEM)
    given = Secret(CERTIFICATE_PEM.encode("ascii"))
    assert _only(f"{{name: s, kind: x509, value: {value}}}") == ExplicitValue(value=given)
    assert _only(f"{{name: s, kind: x509-ca, private_key: key, value: {value}}}", _GENERATED_KEY) == (
        ExplicitCertificate(value=given, private_key="key")
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1 year", dt.timedelta(seconds=31_557_600)),
        ("59d", dt.timedelta(days=59)),
        ("90 days", dt.timedelta(days=90)),
        ("1h 30min", dt.timedelta(hours=1, minutes=30)),
        ("2weeks 1 day", dt.timedelta(days=15)),
        ("1M", dt.timedelta(days=30.44)),
        ("10s", dt.timedelta(seconds=10)),
    ],
)
def test_durations(written: str, expected: dt.timedelta) -> None:
    """A duration is numbers with units."""
    source = _only(f"{{name: s, kind: x509, private_key: key, valid_for: {written}}}", _GENERATED_KEY)
    assert isinstance(source, GeneratedCertificate)
    assert source.valid_for == expected


def test_certificates_of_version_0_2() -> None:
    """Before 0.3 a certificate came with its key, and the session had one of its own."""
    text = 'name: a\nversion: "0.2"\nsecrets: [{name: s, kind: x509}, {name: t, kind: session-ca, export: other}]'
    first, second = parse_session(text).secrets
    assert first.source == GeneratedCertificate(private_key=None)
    assert second.source == SessionCertificate()
    assert second.export[0].to.name == "other"


def test_other_kinds() -> None:
    """OpenPGP keys have no parameters; fragments are any structure; tokens have one of two credentials."""
    assert _only("{name: s, kind: pgp-key}") == GeneratedPgpKey()
    assert _only("{name: s, kind: config-fragment, value: {signer: [1, {a: b}]}}") == FragmentValue(
        value={"signer": ["1", {"a": "b"}]}
    )
    assert _only("{name: s, kind: aad-token, tenant_id: t-1, client_id: c-1, application_secret: x}") == AadToken(
        tenant_id="t-1", client_id="c-1", application_secret=Secret(b"x")
    )
    written = f"""{{name: s, kind: aad-token, tenant_id: t-1, client_id: c-1, private_key: {_block(KEY_PEM)},
      certificate_thumbprint: b033db596639f3ca02d6537055e85b8efe060756}}"""
    assert _only(written) == AadToken(
        tenant_id="t-1",
        client_id="c-1",
        private_key=Secret(KEY_PEM.encode("ascii")),
        certificate_thumbprint="B033DB596639F3CA02D6537055E85B8EFE060756",
    )


_TOKEN: Final = "{name: token, kind: aad-token, tenant_id: t, client_id: c, application_secret: x}"


def test_vaults() -> None:
    """The name in the vault and the only token are understood; the kind may be open."""
    written = "{name: s, import_akv: {vault: https://v.vault.azure.net/}}"
    assert _only(written, _TOKEN) == VaultValue(vault="v.vault.azure.net", secret_name="s", token="token")
    other = _TOKEN.replace("token,", "other,", 1)
    written = "{name: s, kind: binary, import_akv: {vault: v, secret_name: n, token: $$SCONE::other$$}}"
    assert _only(written, _TOKEN, other) == VaultValue(vault="v", secret_name="n", token="other")


def test_stores() -> None:
    """Values are kept in the database, or in the vault of the tag."""
    assert parse(rest="secret_config:\n  store_in: !cas").secret_store is None
    akv = (
        "secret_config:\n  store_in: !akv\n    token: $$SCONE::token$$\n    vault: https://e.vault.microsoftazure.de\n"
    )
    session = parse(rest=f"{akv}secrets: [{_TOKEN}]")
    assert session.secret_store == VaultStore(vault="e.vault.microsoftazure.de", token="token")


@pytest.mark.parametrize(
    ("secrets", "path", "message"),
    [
        (
            "{name: s, kind: x509, private_key: key, size: 3}",
            "secrets[0].size",
            "unknown key 'size', allowed: common_name, dns",
        ),
        ("{name: s, kind: pgp-key, value: x}", "secrets[0].value", "unknown key 'value'"),
        ("{name: s, kind: config-fragment}", "secrets[0]", "value is missing"),
        ("{name: s, kind: private-key, key_type: P-521}", "secrets[0].key_type", "one of P-256, P-384, Ed25519"),
        ("{name: s, kind: private-key, value: abc}", "secrets[0].value", "a private key in PEM"),
        ("{name: s, kind: x509, value: abc}", "secrets[0].value", "a certificate in PEM"),
        ("{name: s, kind: x509, private_key: key, valid_for: 1 fortnight}", "secrets[0].valid_for", "a duration"),
        ("{name: s, kind: x509, private_key: key, valid_for: 0d}", "secrets[0].valid_for", "more than nothing"),
        ("{name: s, kind: x509, private_key: key, valid_for: 1001 y}", "secrets[0].valid_for", "at most 1000 years"),
        ("{name: s, kind: x509, private_key: key, valid_for: ''}", "secrets[0].valid_for", "a duration"),
        (
            "{name: s, kind: x509, private_key: key, valid_for: 999999y" + " 999999y" * 9 + "}",
            "secrets[0].valid_for",
            "at most",
        ),
        ("{name: s, kind: x509, private_key: key, san: ['ip:fe80::1%eth0']}", "secrets[0].san[0]", '"ip:ADDRESS"'),
        ("{name: s, kind: x509, private_key: key, endpoint: both}", "secrets[0].endpoint", "one of server, client"),
        ("{name: s, kind: x509, private_key: key, dns: a b}", "secrets[0].dns", "a DNS name"),
        ("{name: s, kind: x509, private_key: key, endpoint: client, dns: a}", "secrets[0]", "no dns beside"),
        ("{name: s, kind: x509, private_key: key, san: example.com}", "secrets[0].san", '"dns:NAME" or "ip:ADDRESS"'),
        ("{name: s, kind: x509, private_key: key, san: ['ip:1.2']}", "secrets[0].san[0]", '"ip:ADDRESS"'),
        ("{name: s, kind: x509, private_key: key, common_name: ''}", "secrets[0].common_name", "a common name of 1"),
        ("{name: s, kind: x509-ca, private_key: key, endpoint: server}", "secrets[0].endpoint", "unknown key"),
        ("{name: s, kind: x509, private_key: kex}", "secrets[0].private_key", "no secret is named 'kex'"),
        ("{name: s, kind: x509, private_key: text}", "secrets[0].private_key", "kind private-key, found one of kind"),
        ("{name: s, kind: x509, private_key: key, issuer: key}", "secrets[0].issuer", "kind x509-ca, found one"),
        ("{name: s, kind: x509-ca, private_key: key, issuer: s}", "secrets[0].issuer", "above itself"),
        ("{name: s, kind: aad-token, tenant_id: t, client_id: c}", "secrets[0]", "expected application_secret, or"),
        (
            "{name: s, kind: aad-token, tenant_id: t, client_id: c, application_secret: x, certificate_thumbprint: y}",
            "secrets[0].certificate_thumbprint",
            "40 hexadecimal digits",
        ),
        ("{name: s, import_akv: {vault: v}}", "secrets[0].import_akv", "token is missing: the session has 0 secrets"),
        ("{name: s, import_akv: {vault: v, token: key}}", "secrets[0].import_akv.token", "$$SCONE::NAME$$"),
        ("{name: s, import_akv: {vault: v, token: $$SCONE::key$$}}", "secrets[0].import_akv.token", "kind aad-token"),
        (
            "{name: s, import_akv: {vault: v, token: $$SCONE::x$$}}",
            "secrets[0].import_akv.token",
            "no secret is named",
        ),
        ("{name: s, import: {session: a}, import_akv: {}}", "secrets[0].import_akv", "exclude each other"),
        ("{name: s, import: {session: a}, export: b}", "secrets[0].export", "cannot be exported again"),
        ("{name: s, import: {session: a}, value: b}", "secrets[0].value", "from elsewhere"),
        ("{name: s, kind: bogus, import: {session: a}}", "secrets[0].kind", "expected one of ascii, binary"),
    ],
)
def test_each_defect_is_named(secrets: str, path: str, message: str) -> None:
    """One defect gives one issue at its place."""
    rest = f"secrets: [{secrets}, {_GENERATED_KEY}, {{name: text, kind: ascii}}]"
    issue = only_issue(session_text(rest=rest))
    assert issue.path == path
    assert message in issue.message


def test_a_certificate_needs_a_key_since_0_3() -> None:
    """Before, it came with one."""
    issue = only_issue(session_text(rest="secrets: [{name: s, kind: x509}]"))
    assert (issue.path, issue.message) == ("secrets[0]", "private_key is missing")
    assert "0.2" in str(issue.hint)


def test_an_issuer_without_a_key_cannot_sign() -> None:
    """A certificate that is given signs nothing, unless its key is named."""
    authority = f"{{name: ca, kind: x509-ca, value: {_block(CERTIFICATE_PEM)}}}"
    rest = f"secrets: [{{name: s, kind: x509, private_key: key, issuer: ca}}, {authority}, {_GENERATED_KEY}]"
    assert "'ca' cannot sign" in only_issue(session_text(rest=rest)).message
    parse(rest=rest.replace("kind: x509-ca,", "kind: x509-ca, private_key: key,"))


def test_two_issuers_cannot_sign_each_other() -> None:
    """Each is told, as either may be the wrong one."""
    one, two = (f"{{name: {a}, kind: x509-ca, private_key: key, issuer: {b}}}" for a, b in ("xy", "yx"))
    issues = issues_of(session_text(rest=f"secrets: [{one}, {two}, {_GENERATED_KEY}]"))
    assert [issue.path for issue in issues] == ["secrets[0].issuer", "secrets[1].issuer"]


@pytest.mark.parametrize(
    ("kind", "placeholder"),
    [
        (SecretKind.BINARY, "s.hex"),
        (SecretKind.BINARY, "s:base32nopad"),
        (SecretKind.X509, "s"),
        (SecretKind.X509, "s.crt"),
        (SecretKind.X509, "s.key"),
        (SecretKind.X509, "s.chain"),
        (SecretKind.X509, "s:privatekey:pkcs8:pem"),
        (SecretKind.PGP_KEY, "s:publickey:asciiarmored"),
        (SecretKind.PRIVATE_KEY, "s:pem|escape(json)"),
    ],
)
def test_placeholders_have_the_formats_of_their_kinds(kind: SecretKind, placeholder: str) -> None:
    """Old and new suffixes are accepted in arguments."""
    key = ", private_key: key" if kind is SecretKind.X509 else ""
    rest = f"secrets: [{{name: s, kind: {kind}{key}}}, {_GENERATED_KEY}]"
    session = parse(service=f"command: [run, '$$SCONE::{placeholder}$$']", rest=rest)
    assert [found.name for found in session.services[0].command[1].placeholders] == ["s"]


def test_names_may_end_like_old_suffixes() -> None:
    """A secret that is called so is meant, and no format of another one."""
    token = _TOKEN.replace("token,", "azure.key,", 1)
    rest = f"""
    secrets: [{{name: v.key, kind: binary, size: 32}}, {token},
      {{name: s, import_akv: {{vault: v, token: $$SCONE::azure.key$$}}}}]
    volumes: [{{name: v, fspf_key: $$SCONE::v.key$$}}]
    """
    session = parse(service="command: [run, $$SCONE::azure.key$$]", rest=rest)
    assert session.volumes[0].key == SecretKey(secret_name="v.key", tag=None)
    assert session.secrets[2].source == VaultValue(vault="v", secret_name="s", token="azure.key")
    issue = only_issue(session_text(rest="volumes: [{name: v, fspf_key: $$SCONE::v.key$$}]"))
    assert "no secret is named 'v'" in issue.message
