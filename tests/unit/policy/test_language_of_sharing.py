"""References to other sessions: imports and exports, in every spelling of every version."""

from __future__ import annotations

from typing import Final

import pytest

from bannock.policy import parse_session
from bannock.policy.configuration import UpdatePolicy
from bannock.policy.references import RemoteCas, SessionReference
from bannock.policy.secret_specs import ImportedValue, SecretExport
from bannock.policy.session import ImportedVolume, VolumeExport
from bannock.values import KeyHash
from tests.unit.policy.documents import KEY, MEASUREMENT, TAG, only_issue

_HASH: Final = MEASUREMENT
_CAS_KEY: Final = "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"


def _text(rest: str, *, name: str = "company/project/me", version: str = "0.3.11") -> str:
    return f'name: {name}\nversion: "{version}"\n{rest}'


def _reference(written: str, **about: str) -> SessionReference:
    """Parse a reference as the import of a secret."""
    (secret,) = parse_session(_text(f"secrets: [{{name: s, import: {written}}}]", **about)).secrets
    assert isinstance(secret.source, ImportedValue)
    return secret.source.session


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{session: other}", SessionReference(name="other")),
        ("{session: ns/other}", SessionReference(name="ns/other")),
        (f"{{session: other, session_hash: {_HASH.upper()}}}", SessionReference(name="other", digest=_HASH)),
        ("{session: ../sibling}", SessionReference(name="company/project/sibling")),
        ("{session: ../../cousin}", SessionReference(name="company/cousin")),
        ("{session: ../../../top}", SessionReference(name="top")),
        ("{session: ./child}", SessionReference(name="company/project/me/child")),
        ("{session: ..}", SessionReference(name="company/project")),
        ("/session=other", SessionReference(name="other")),
        (f"'/session=ns/other,session_hash={_HASH}'", SessionReference(name="ns/other", digest=_HASH)),
        (
            f"'cas.example.com/cas_key={_CAS_KEY},session=other'",
            SessionReference(
                name="other", cas=RemoteCas(address="cas.example.com", key=KeyHash.from_base58(_CAS_KEY))
            ),
        ),
        (
            f"{{cas_url: 'cas.example.com:8081', cas_software_key: {_CAS_KEY}, session: other}}",
            SessionReference(
                name="other",
                cas=RemoteCas(address="cas.example.com:8081", software_key=KeyHash.from_base58(_CAS_KEY)),
            ),
        ),
    ],
)
def test_every_spelling_of_a_reference(written: str, expected: SessionReference) -> None:
    """A mapping, the short form and relative names mean a session, by its absolute name."""
    assert _reference(written) == expected


@pytest.mark.parametrize("version", ["0.2", "0.3"])
def test_references_of_version_0_2(version: str) -> None:
    """``NAME`` and ``NAME:HASH``, which users kept writing."""
    assert _reference("other", version=version) == SessionReference(name="other")
    assert _reference(f"'other:{_HASH}'", version=version) == SessionReference(name="other", digest=_HASH)
    assert _reference("'scone:blender'", version=version) == SessionReference(name="scone:blender")


def test_imported_secrets() -> None:
    """The name there may differ, and be the same without saying so; the kind may be open."""
    text = "secrets: [{name: s, import: {session: other, secret: t}}, {name: u, kind: x509, import: other}]"
    first, second = parse_session(_text(text)).secrets
    assert (first.kind, first.source) == (None, ImportedValue(session=SessionReference(name="other"), secret="t"))
    assert (str(second.kind), second.source) == (
        "x509",
        ImportedValue(session=SessionReference(name="other"), secret="u"),
    )


def test_secrets_are_exported_to_sessions_and_namespaces() -> None:
    """One or several, here and elsewhere."""
    text = f"""
secrets:
  - name: s
    kind: ascii
    export: {{session: a}}
  - name: t
    kind: ascii
    export:
      - session: a
        session_hash: {_HASH}
      - namespace: ../..
      - b
      - cas.example.com/cas_key={_CAS_KEY},session=c
"""
    first, second = parse_session(_text(text)).secrets
    assert first.export == (SecretExport(to=SessionReference(name="a")),)
    assert second.export == (
        SecretExport(to=SessionReference(name="a", digest=_HASH)),
        SecretExport(to=SessionReference(name="company"), nested=True),
        SecretExport(to=SessionReference(name="b")),
        SecretExport(
            to=SessionReference(name="c", cas=RemoteCas(address="cas.example.com", key=KeyHash.from_base58(_CAS_KEY)))
        ),
    )


def test_volumes_are_exported_and_imported() -> None:
    """With restrictions and an alias, or without; the name there may differ."""
    text = f"""
volumes:
  - name: v
    export:
      - session: a
      - b:{_HASH}
      - to: {{session: ../c}}
        update_policy: ephemeral
        volume_alias: output
      - to: d
        update_policy: no_rollback_protection
  - name: w
    import: {{session: other, volume: input}}
  - name: x
    import: other
"""
    exported, renamed, plain = parse_session(_text(text)).volumes
    assert exported.export == (
        VolumeExport(to=SessionReference(name="a")),
        VolumeExport(to=SessionReference(name="b", digest=_HASH)),
        VolumeExport(
            to=SessionReference(name="company/project/c"), update_policy=UpdatePolicy.EPHEMERAL, alias="output"
        ),
        VolumeExport(to=SessionReference(name="d"), update_policy=UpdatePolicy.NO_ROLLBACK_PROTECTION),
    )
    assert renamed.key == ImportedVolume(session=SessionReference(name="other"), volume="input")
    assert plain.key == ImportedVolume(session=SessionReference(name="other"), volume="x")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{session: ../../../../top}", "leads out of all namespaces"),
        ("{session: ../../..}", "leads out of all namespaces"),
        ("{session: a//b}", "the name of a session"),
        ("{session: a/../b}", "the name of a session"),
        ("{session: ''}", "the name of a session"),
        ("'/session=../a'", "cannot be in the short form"),
        ("'session=a'", "HOST/ or / followed by"),
        ("'/session=a,session=b'", "HOST/ or / followed by"),
        ("'/session=a,'", "HOST/ or / followed by"),
        ("'/sesion=a,session=b'", "unknown key 'sesion'"),
        ("{session: a, cas_url: cas}", "expected cas_key or cas_software_key beside"),
        (f"{{session: a, cas_key: {_CAS_KEY}}}", "expected cas_url beside"),
        ("{session: a, cas_url: cas, cas_key: abc}", "the key of a CAS in base58"),
        (f"{{session: a, cas_url: 'http://cas', cas_key: {_CAS_KEY}}}", "the address of a CAS"),
        ("{session: a, session_hash: abc}", "64 hexadecimal digits"),
        ("{namespace: a}", "not from a namespace"),
        ("[a]", "a mapping, found a list"),
    ],
)
def test_malformed_references(written: str, message: str) -> None:
    """What could lead elsewhere than meant leads nowhere."""
    document = _text(f"secrets: [{{name: s, import: {written}}}]")
    try:
        issue = only_issue(document)
    except ValueError:
        pytest.fail("more than one issue")
    assert message in issue.message


@pytest.mark.parametrize(
    ("rest", "path", "message"),
    [
        ("volumes: [{name: v, export: {namespace: a}}]", "volumes[0].export", "not with namespaces"),
        ("volumes: [{name: v, export: [{to: {namespace: a}}]}]", "volumes[0].export[0].to", "not with"),
        (
            f"volumes: [{{name: v, import: 'c/cas_key={_CAS_KEY},session=a'}}]",
            "volumes[0].import",
            "sessions of the same CAS only",
        ),
        (
            "volumes: [{name: v, export: [{session: a, update_policy: ephemeral}]}]",
            "volumes[0].export[0]",
            "below a key to, beside update_policy",
        ),
        (
            "volumes: [{name: v, export: [{to: a, update_policy: rollback_protected_reinitializable}]}]",
            "volumes[0].export[0].update_policy",
            "one of rollback_protected, ephemeral, no_rollback_protection",
        ),
        (f"volumes: [{{name: v, import: a, fspf_tag: {TAG}}}]", "volumes[0]", "beside import"),
        (f"volumes: [{{name: v, import: a, fspf_key: {KEY}}}]", "volumes[0]", "beside import"),
        ("volumes: [{name: v, import: a, export: b}]", "volumes[0]", "beside import"),
        ("volumes: [{name: v, export: []}]", "volumes[0].export", "at least one entry"),
        (
            "secrets: [{name: s, kind: ascii, export: {session: a, namespace: b}}]",
            "secrets[0].export",
            "session or namespace",
        ),
        (
            f"secrets: [{{name: s, kind: ascii, export: {{namespace: b, session_hash: {_HASH}}}}}]",
            "secrets[0].export",
            "no session_hash beside namespace",
        ),
    ],
)
def test_malformed_sharing(rest: str, path: str, message: str) -> None:
    """One defect gives one issue at its place."""
    issue = only_issue(_text(rest))
    assert (issue.path, message in issue.message) == (path, True), str(issue)
