"""What sessions have: made, shared with other sessions on one CAS, and certificates that are made anew in time."""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas
from bannock.errors import BannockError, ConflictError, DeniedError, InputError, IntegrityError, NotFoundError
from bannock.policy.certificates import CertificateBundle
from bannock.policy.configuration import UpdatePolicy
from bannock.policy.template import Placeholder, SecretKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.cas import CasConfig
    from bannock.policy.resolved import ResolvedSecrets
    from bannock.values import KeyHash


class _Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def forward(self, **by: int) -> None:
        self.now += dt.timedelta(**by)


@pytest.fixture
def clock() -> _Clock:
    """The time of the CAS."""
    return _Clock()


@pytest.fixture
def cas(config: CasConfig, clock: _Clock) -> Iterator[Cas]:
    """An open CAS with that time."""
    with Cas(config, clock=clock) as opened:
        yield opened


def _text(name: str, secrets: str, *, predecessor: str | None = None, rest: str = "") -> str:
    before = f"predecessor: {predecessor}\n" if predecessor else ""
    return f'name: {name}\nversion: "0.3.10"\n{before}secrets:\n{secrets}\n{rest}'


def _values(cas: Cas, name: str) -> ResolvedSecrets:
    """Give what a session has, as an attestation would get it."""
    with cas.store.reading() as view:
        _, session = cas.sessions.newest(view, name)
    fetched = cas.sessions.secrets.fetch(session)
    with cas.store.changing() as change:
        _, session = cas.sessions.newest(change, name)
        return cas.sessions.secrets.values(change, session, fetched)


def _rendered(cas: Cas, session: str, placeholder: str) -> bytes:
    return _values(cas, session).render(Placeholder.parse(placeholder))


def _bundle(cas: Cas, session: str, name: str) -> CertificateBundle:
    return CertificateBundle.from_pem(_values(cas, session).find(name).value.reveal())


_SHARED = """
  - {name: password, kind: ascii, export: {session: client}}
  - {name: own, kind: ascii}
"""
_IMPORT = """
  - {name: theirs, import: {session: server, secret: password}}
"""


def test_an_exported_secret_is_the_importers_too(cas: Cas, alice: KeyHash, bob: KeyHash) -> None:
    """Both sessions have the same value, whoever owns them, and in whichever order they were made."""
    cas.sessions.post(_text("client", _IMPORT), bob)
    cas.sessions.post(_text("server", _SHARED), alice)
    assert _values(cas, "client").find("theirs").value == _values(cas, "server").find("password").value


def test_what_is_imported_from_nowhere(cas: Cas, bob: KeyHash) -> None:
    """A session that imports from one that is not there is made, and its secret is not to be had."""
    cas.sessions.post(_text("client", _IMPORT), bob)
    with pytest.raises(DeniedError, match="client imports from session server, which is not there"):
        _values(cas, "client").find("theirs")


@pytest.mark.parametrize(
    "secrets",
    [
        "  - {name: password, kind: ascii}",
        "  - {name: password, kind: ascii, export: {session: other}}",
        "  - {name: other, kind: ascii, export: {session: client}}",
        f"  - {{name: password, kind: ascii, export: {{session: client, session_hash: {'ab' * 32}}}}}",
    ],
)
def test_what_is_not_exported_is_not_imported(cas: Cas, alice: KeyHash, secrets: str) -> None:
    """The exporting session decides, by name and by version."""
    cas.sessions.post(_text("server", secrets), alice)
    cas.sessions.post(_text("client", _IMPORT), alice)
    with pytest.raises(DeniedError, match="server does not export a secret password to session client"):
        _values(cas, "client").find("theirs")


def test_an_export_that_is_taken_back_ends_at_once(cas: Cas, alice: KeyHash) -> None:
    """Imports are checked at every use: nothing of the value stays with the importing session."""
    first = cas.sessions.post(_text("server", _SHARED), alice)
    cas.sessions.post(_text("client", _IMPORT), alice)
    assert _values(cas, "client").find("theirs")
    cas.sessions.post(_text("server", "  - {name: password, kind: ascii}", predecessor=first), alice)
    with pytest.raises(DeniedError, match="does not export"):
        _values(cas, "client").find("theirs")


def test_versions_that_are_pinned(cas: Cas, alice: KeyHash) -> None:
    """An importer that trusts one version of a session gets nothing from the next."""
    first = cas.sessions.post(_text("server", _SHARED), alice)
    pinned = _IMPORT.replace("session: server", f"session: server, session_hash: {first}")
    cas.sessions.post(_text("client", pinned), alice)
    assert _values(cas, "client").find("theirs")
    cas.sessions.post(_text("server", _SHARED + "  - {name: new, kind: ascii}", predecessor=first), alice)
    with pytest.raises(DeniedError, match=f"not in the version that is imported from, {first}"):
        _values(cas, "client").find("theirs")


def test_an_importer_that_was_changed_is_another_one(cas: Cas, alice: KeyHash) -> None:
    """An exporter that trusts one version of a session gives nothing to the next."""
    trusted = cas.sessions.post(_text("client", _IMPORT), alice)
    shared = _SHARED.replace("session: client", f"session: client, session_hash: {trusted}")
    cas.sessions.post(_text("server", shared), alice)
    assert _values(cas, "client").find("theirs")
    cas.sessions.post(_text("client", _IMPORT + "  - {name: new, kind: ascii}", predecessor=trusted), alice)
    with pytest.raises(DeniedError, match="does not export"):
        _values(cas, "client").find("theirs")


def test_namespaces_and_relative_names(cas: Cas, alice: KeyHash) -> None:
    """A secret that is exported to a namespace is for everybody in it."""
    cas.sessions.post(_text("company", "  - {name: s, kind: ascii, export: {namespace: company}}"), alice)
    cas.sessions.post(_text("company/team", "  - {name: s, import: {session: company, secret: s}}"), alice)
    cas.sessions.post(_text("company/team/app", "  - {name: s, import: {session: company, secret: s}}"), alice)
    beside = "  - {name: s, import: {session: ../beside, secret: s}}"
    cas.sessions.post(_text("company/beside", "  - {name: s, kind: ascii, export: {session: ../app}}"), alice)
    cas.sessions.post(_text("company/app", beside), alice)
    assert _values(cas, "company/app").find("s").value == _values(cas, "company/beside").find("s").value
    cas.sessions.post(_text("stranger", "  - {name: s, import: {session: company, secret: s}}"), alice)
    value = _values(cas, "company").find("s").value
    for name in ("company/team", "company/team/app"):
        assert _values(cas, name).find("s").value == value
    with pytest.raises(DeniedError):
        _values(cas, "stranger").find("s")


def test_one_secret_that_cannot_be_had_does_not_take_the_others(cas: Cas, alice: KeyHash) -> None:
    """The error is raised where the secret is used."""
    cas.sessions.post(_text("client", _IMPORT + "  - {name: fine, kind: ascii, value: fine}"), alice)
    values = _values(cas, "client")
    assert values.render(Placeholder.parse("fine")) == b"fine"
    with pytest.raises(DeniedError):
        values.render(Placeholder.parse("theirs"))


_PKI = """
  - {name: ca-key, kind: private-key}
  - {name: ca, kind: x509-ca, private_key: ca-key, common_name: Root, EXPORT}
  - {name: key, kind: private-key}
  - {name: cert, kind: x509, private_key: key, issuer: ca, dns: db.example, valid_for: 90 days, EXPORT}
"""


def _pki(export: str = "export: [{session: client}]", key_export: str = "") -> str:
    text = _PKI.replace("EXPORT", export)
    return text.replace("{name: key, kind: private-key}", f"{{name: key, kind: private-key{key_export}}}")


def test_certificates_of_a_session(cas: Cas, alice: KeyHash) -> None:
    """What placeholders give belongs together."""
    cas.sessions.post(_text("server", _pki()), alice)
    cert = _bundle(cas, "server", "cert")
    cert.certificate.verify_directly_issued_by(_bundle(cas, "server", "ca").certificate)
    assert _rendered(cas, "server", "cert:privatekey") == _rendered(cas, "server", "key")
    assert _rendered(cas, "server", "cert:chain") == _rendered(cas, "server", "ca:crt")
    assert _rendered(cas, "server", "cert.chain") == _rendered(cas, "server", "ca") + _rendered(cas, "server", "cert")


def test_the_key_goes_with_a_certificate_if_it_is_exported_too(cas: Cas, alice: KeyHash) -> None:
    """Without, the importer has certificate and chain, and an error that says what is missing."""
    first = cas.sessions.post(_text("server", _pki()), alice)
    cas.sessions.post(_text("client", "  - {name: theirs, import: {session: server, secret: cert}}"), alice)
    theirs = _bundle(cas, "client", "theirs")
    assert theirs.certificate == _bundle(cas, "server", "cert").certificate
    assert theirs.chain == (_bundle(cas, "server", "ca").certificate,)
    with pytest.raises(InputError, match="private key of the certificate is not accessible"):
        _rendered(cas, "client", "theirs:privatekey")
    second = _pki(key_export=", export: {session: client}")
    cas.sessions.post(_text("server", second, predecessor=first), alice)
    assert _rendered(cas, "client", "theirs:privatekey") == _rendered(cas, "server", "key")


def test_an_imported_authority_signs_where_its_key_is_exported(cas: Cas, alice: KeyHash, bob: KeyHash) -> None:
    """One session has the authority, another one has certificates that it signs; the chain is whole."""
    client = """
  - {name: key, kind: private-key}
  - {name: authority, import: {session: server, secret: ca}}
  - {name: cert, kind: x509, private_key: key, issuer: authority}
"""
    cas.sessions.post(_text("client", client), bob)
    with pytest.raises(DeniedError, match="which is not there"):
        _values(cas, "client").find("cert")
    exported = _pki().replace("ca-key, kind: private-key}", "ca-key, kind: private-key, export: {session: client}}")
    first = cas.sessions.post(_text("server", exported), alice)
    made = _bundle(cas, "client", "cert")
    made.certificate.verify_directly_issued_by(_bundle(cas, "server", "ca").certificate)
    # An update makes the authority anew, and so what it signs.
    cas.sessions.post(_text("server", exported + "  - {name: new, kind: ascii}", predecessor=first), alice)
    later = _bundle(cas, "client", "cert")
    later.certificate.verify_directly_issued_by(_bundle(cas, "server", "ca").certificate)
    assert later.certificate != made.certificate


def test_an_authority_without_its_key_is_told_when_the_session_is_made(cas: Cas, alice: KeyHash) -> None:
    """What can never work is refused, with what to do."""
    cas.sessions.post(_text("server", _pki()), alice)
    client = """
  - {name: key, kind: private-key}
  - {name: authority, import: {session: server, secret: ca}}
  - {name: cert, kind: x509, private_key: key, issuer: authority}
"""
    with pytest.raises(InputError, match=r"certificate cert cannot be used: the private key .* is not accessible"):
        cas.sessions.post(_text("client", client), alice)
    with pytest.raises(NotFoundError), cas.store.reading() as view:
        cas.sessions.newest(view, "client")


def test_certificates_are_made_anew_and_kept(cas: Cas, alice: KeyHash, clock: _Clock) -> None:
    """Two thirds through, the next use makes it anew; the uses after it get that one. The audit log tells."""
    cas.sessions.post(_text("server", _pki()), alice)
    first = _bundle(cas, "server", "cert").certificate
    clock.forward(days=59)
    assert _bundle(cas, "server", "cert").certificate == first
    clock.forward(days=2)
    second = _bundle(cas, "server", "cert")
    assert second.certificate.not_valid_after_utc == clock.now + dt.timedelta(days=90)
    assert _bundle(cas, "server", "cert").certificate == second.certificate
    assert [entry.event for entry in cas.audit_log()].count("certificates_renewed") == 1


def test_an_importer_renews_what_it_imports(cas: Cas, alice: KeyHash, clock: _Clock) -> None:
    """A session that nobody uses itself has certificates that hold for those who import them."""
    cas.sessions.post(_text("server", _pki()), alice)
    cas.sessions.post(_text("client", "  - {name: theirs, import: {session: server, secret: cert}}"), alice)
    clock.forward(days=61)
    theirs = _bundle(cas, "client", "theirs").certificate
    assert theirs.not_valid_after_utc == clock.now + dt.timedelta(days=90)
    assert _bundle(cas, "server", "cert").certificate == theirs


def test_readers_get_a_certificate_that_holds(cas: Cas, alice: KeyHash, clock: _Clock) -> None:
    """A public certificate that is due is made anew by who reads it, once."""
    cas.sessions.post(_text("server", _pki("export_public: true")), alice)
    first = cas.reading.value("server", "cert")
    clock.forward(days=61)
    second = cas.reading.values("server")["cert"]
    assert second != first
    assert cas.reading.value("server", "cert") == second


def test_public_values_of_every_kind(cas: Cas, alice: KeyHash) -> None:
    """Certificates without their keys, of OpenPGP keys the public part; what is not public is not told."""
    fragment = "  - {name: f, kind: config-fragment, value: [a, {b: c}], export_public: true}\n"
    pgp = "  - {name: p, kind: pgp-key, export_public: true}\n"
    cas.sessions.post(_text("server", _pki("export_public: true") + fragment + pgp), alice)
    values = cas.reading.values("server")
    assert set(values) == {"ca", "cert", "f", "p"}
    assert values["cert"].startswith("-----BEGIN CERTIFICATE-----")
    assert not any("PRIVATE" in value for value in values.values())
    assert values["f"] == '["a",{"b":"c"}]'
    with pytest.raises(NotFoundError, match="exports no secret 'key' to the public"):
        cas.reading.value("server", "key")


def test_what_is_public_may_be_imported_without_its_secrets(cas: Cas, alice: KeyHash) -> None:
    """By everybody, and as much as everybody could read."""
    cas.sessions.post(
        _text("server", _pki("export_public: true") + "  - {name: p, kind: pgp-key, export_public: true}"), alice
    )
    client = """
  - {name: cert, import: {session: server, secret: cert}}
  - {name: p, import: {session: server, secret: p}}
"""
    cas.sessions.post(_text("client", client), alice)
    assert _rendered(cas, "client", "cert") == _rendered(cas, "server", "cert")
    with pytest.raises(InputError, match="not accessible"):
        _rendered(cas, "client", "cert:privatekey")
    with pytest.raises(DeniedError, match="the public part of OpenPGP key p alone"):
        _rendered(cas, "client", "p:publickey:asciiarmored")


def test_kinds_that_do_not_fit(cas: Cas, alice: KeyHash) -> None:
    """An importer that says what it expects gets nothing else."""
    cas.sessions.post(_text("server", _SHARED), alice)
    secrets = "  - {name: theirs, kind: private-key, import: {session: server, secret: password}}"
    cas.sessions.post(_text("client", secrets), alice)
    with pytest.raises(DeniedError, match="theirs is of kind ascii, expected private-key"):
        _values(cas, "client").find("theirs")


def test_imports_in_a_circle(cas: Cas, alice: KeyHash) -> None:
    """Two certificates that want to be signed by each other's sessions end in an error, not in a loop."""
    for name, other in (("a", "b"), ("b", "a")):
        secrets = f"""
  - {{name: key, kind: private-key, export: {{session: {other}}}}}
  - {{name: theirs, import: {{session: {other}, secret: ca}}}}
  - {{name: ca, kind: x509-ca, private_key: key, issuer: theirs, export: {{session: {other}}}}}
"""
        cas.sessions.post(_text(name, secrets), alice)
    with pytest.raises(BannockError, match=r"in a circle|form a circle"):
        _values(cas, "a").find("ca")


def test_an_update_keeps_what_the_reference_says(cas: Cas, alice: KeyHash) -> None:
    """Through the store and back: text and keys that migrate are kept, certificates and other keys are not."""
    secrets = """
  - {name: text, kind: ascii}
  - {name: stays, kind: private-key, migrate: true}
  - {name: goes, kind: private-key}
  - {name: cert, kind: x509, private_key: stays}
  - {name: pgp, kind: pgp-key}
"""
    first = cas.sessions.post(_text("s", secrets), alice)
    before = _values(cas, "s")
    cas.sessions.post(_text("s", secrets + "  - {name: new, kind: ascii}", predecessor=first), alice)
    after = _values(cas, "s")
    kept = {name for name in before.secrets if before.find(name).value == after.find(name).value}
    assert kept == {"text", "stays", "pgp"}


def test_version_0_2_has_one_authority_for_all(cas: Cas, alice: KeyHash, bob: KeyHash) -> None:
    """Certificates without keys of their own; the session's certificate lets others check them, and nothing else."""
    server = """
name: server
version: "0.2"
secrets:
  - {name: cert, kind: x509, export: client}
  - {name: authority, kind: session-ca, export: client}
"""
    client = """
name: client
version: "0.2"
secrets:
  - {name: cert, kind: x509, import: server}
  - {name: authority, kind: session-ca, import: server}
"""
    cas.sessions.post(server, alice)
    cas.sessions.post(client, bob)
    authority = _bundle(cas, "client", "authority")
    assert authority.private_key is None
    _bundle(cas, "client", "cert").certificate.verify_directly_issued_by(authority.certificate)
    assert _rendered(cas, "client", "cert.key") == _rendered(cas, "server", "cert.key")


def test_fragments_come_as_structures(cas: Cas, alice: KeyHash) -> None:
    """In sections of the configuration a fragment is a structure, and everything else is text."""
    secrets = """
  - {name: list, kind: config-fragment, value: [a, b], export: {session: client}}
  - {name: bytes, kind: binary, value: 00ff, export: {session: client}}
"""
    cas.sessions.post(_text("server", secrets), alice)
    client = """
  - {name: list, kind: config-fragment, import: {session: server, secret: list}}
  - {name: bytes, import: {session: server, secret: bytes}}
"""
    cas.sessions.post(_text("client", client), alice)
    values = _values(cas, "client")
    assert values.find("list").kind is SecretKind.CONFIG_FRAGMENT
    assert values.structure(Placeholder.parse("list")) == ["a", "b"]
    assert values.structure(Placeholder.parse("bytes:hex")) == "00ff"
    with pytest.raises(InputError, match="a format that is text"):
        values.structure(Placeholder.parse("bytes"))


_VOLUME = """
volumes:
  - name: data
    export: [{to: {session: client}, volume_alias: input, update_policy: ephemeral}]
"""
_MOUNTED = """
volumes:
  - name: dataset
    import: {session: server, volume: input}
"""


def test_volumes_of_other_sessions(cas: Cas, alice: KeyHash, bob: KeyHash) -> None:
    """The importer has the key, under the name of the alias, and may do what the exporter allows."""
    cas.sessions.post(_text("server", "  - {name: s, kind: ascii}", rest=_VOLUME), alice)
    cas.sessions.post(_text("client", "  - {name: s, kind: ascii}", rest=_MOUNTED), bob)
    volume = _values(cas, "client").volume("dataset")
    assert volume is not None
    assert (volume.session, volume.name) == ("server", "data")
    assert volume.key == _values(cas, "server").volume_key("data") == _values(cas, "client").volume_key("dataset")
    assert volume.update_policy(UpdatePolicy.ROLLBACK_PROTECTED) is UpdatePolicy.EPHEMERAL
    with cas.store.reading() as view:
        assert view.volume("client", "dataset") is None


def test_volumes_that_are_not_exported(cas: Cas, alice: KeyHash, bob: KeyHash) -> None:
    """By its own name, a volume with an alias is not to be had; and a session that is not named gets nothing."""
    cas.sessions.post(_text("server", "  - {name: s, kind: ascii}", rest=_VOLUME), alice)
    for name, rest in (("client", _MOUNTED.replace("input", "data")), ("other", _MOUNTED)):
        cas.sessions.post(_text(name, "  - {name: s, kind: ascii}", rest=rest), bob)
        with pytest.raises(DeniedError, match=f"does not export a volume .* to session {name}"):
            _values(cas, name).volume_key("dataset")


def test_two_updates_at_once(cas: Cas, alice: KeyHash) -> None:
    """Values that were made from a version that is no longer in force are not kept."""
    first = cas.sessions.post(_text("s", "  - {name: a, kind: ascii}"), alice)
    with cas.store.reading() as view:
        _, session = cas.sessions.newest(view, "s")
    prepared = cas.sessions.secrets.prepare(session)
    cas.sessions.post(_text("s", "  - {name: b, kind: ascii}", predecessor=first), alice)
    with cas.store.reading() as view, pytest.raises(ConflictError, match="changed while its new version was made"):
        prepared.require_base(view.session("s"))


def test_values_are_no_part_of_any_repr(cas: Cas, alice: KeyHash) -> None:
    """Objects that carry values do not show them."""
    canary = "canary-3f1d"
    cas.sessions.post(_text("s", f"  - {{name: a, kind: ascii, value: {canary}}}", rest=_VOLUME), alice)
    values = _values(cas, "s")
    with cas.store.reading() as view:
        _, session = cas.sessions.newest(view, "s")
    key = values.volume_key("data").reveal_hex()
    for shown in (repr(values), repr(cas.sessions.secrets.prepare(session)), repr(session)):
        assert canary not in shown
        assert canary.encode().hex() not in shown
        assert key not in shown


def test_a_row_that_was_changed_is_told(cas: Cas, config: CasConfig, alice: KeyHash) -> None:
    """Damage in the database is an error for whoever reads, not a secret that is left out."""
    public = "  - {name: a, kind: ascii, export_public: true}"
    for name in ("one", "two"):
        cas.sessions.post(_text(name, public), alice)
    with contextlib.closing(sqlite3.connect(config.database)) as database, database:
        ((sealed,),) = database.execute("SELECT sealed FROM secret_values LIMIT 1").fetchall()
        database.execute("UPDATE secret_values SET sealed = ?", (sealed,))
    failures = 0
    for name in ("one", "two"):
        try:
            cas.reading.values(name)
        except IntegrityError:
            failures += 1
    assert failures == 1
