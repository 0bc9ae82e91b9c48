"""Warnings: what is accepted although the document's version says otherwise, or although it does nothing."""

from __future__ import annotations

from typing import Final

import pytest

from bannock.policy import parse_session
from bannock.policy._versions import VERSIONS, oldest_rank, rank
from bannock.policy._warnings import _GONE, _SINCE
from tests.unit.policy.documents import MEASUREMENT, TEMPLATE, VARIABLES
from tests.unit.policy.test_language_of_secrets import CERTIFICATE_PEM, KEY_PEM

_MAA: Final = "mode: maa, url: 'https://a.b.attest.azure.net', tolerate: [maa-managed-tcb]"
_CAS: Final = "cas_url: c, cas_key: 3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"
_TOKEN: Final = "{name: t, kind: aad-token, tenant_id: t, client_id: c, application_secret: x}"
_FSPF: Final = f"fspf_path: /f, fspf_key: '{MEASUREMENT}', fspf_tag: '{MEASUREMENT[:32]}'"


def _certificate(about: str) -> str:
    return f"secrets: [{{name: s, kind: x509, private_key: k, {about}}}, {{name: k, kind: private-key}}]"


#: A part of a document that has what each entry of the tables is about.
_PARTS: Final = {
    "access_policy.create_sessions": "access_policy: {create_sessions: NONE}",
    "board_members": "board_members: []",
    "board_policy": "board_policy: {minimum: 0, timeout: 30}",
    "digest": "digest: create",
    "exports": "exports: [{namespace: image, name: i, export: '*'}]\nimages: [{name: i}]",
    "images.import": "images: [{name: i, import: b}]",
    "images.injection_files.permission": "images: [{name: i, injection_files: [{path: /a, permission: 0o600}]}]",
    "images.mrenclaves": f"images: [{{name: i, mrenclaves: [{MEASUREMENT}]}}]",
    "images.tags": "images: [{name: i, tags: [demo]}]",
    "images.volumes.update_policy": (
        "images: [{name: i, volumes: [{name: v, path: /v, update_policy: ephemeral}]}]\nvolumes: [{name: v}]"
    ),
    "secret_config": "secret_config: {store_in: !cas }",
    "secrets.common_name": _certificate("common_name: n"),
    "secrets.dns": _certificate("dns: n"),
    "secrets.endpoint": _certificate("endpoint: server"),
    "secrets.export.cas_url": f"secrets: [{{name: s, kind: ascii, export: {{session: b, {_CAS}}}}}]",
    "secrets.export.namespace": "secrets: [{name: s, kind: ascii, export: {namespace: b}}]",
    "secrets.import.cas_url": f"secrets: [{{name: s, import: {{session: b, {_CAS}}}}}]",
    "secrets.import_akv": f"secrets: [{{name: s, import_akv: {{vault: v}}}}, {_TOKEN}]",
    "secrets.issuer": (
        "secrets: [{name: s, kind: x509-ca, private_key: k, issuer: c}, {name: k, kind: private-key}, "
        "{name: c, kind: x509-ca, private_key: k}]"
    ),
    "secrets.key_type": "secrets: [{name: s, kind: private-key, key_type: P-384}]",
    "secrets.key_type:RSA-2048": "secrets: [{name: s, kind: private-key, key_type: RSA-2048}]",
    "secrets.key_type:RSA-3072": "secrets: [{name: s, kind: private-key, key_type: RSA-3072}]",
    "secrets.kind:aad-token": f"secrets: [{_TOKEN}]",
    "secrets.kind:config-fragment": "secrets: [{name: s, kind: config-fragment, value: x}]",
    "secrets.kind:pgp-key": "secrets: [{name: s, kind: pgp-key}]",
    "secrets.kind:private-key": "secrets: [{name: s, kind: private-key}]",
    "secrets.kind:session-ca": "secrets: [{name: s, kind: session-ca}]",
    "secrets.migrate": "secrets: [{name: s, kind: private-key, migrate: true}]",
    "secrets.san": _certificate("san: 'dns:n'"),
    "secrets.valid_for": _certificate("valid_for: 1d"),
    "security": "security: {}",
    "security.attestation.min_rsa_signing_key_size": (
        f"security: {{attestation: {{{_MAA}, min_rsa_signing_key_size: 2048}}}}"
    ),
    "security.attestation.mode:maa": f"security: {{attestation: {{{_MAA}}}}}",
    "security.attestation.one_time_password_shared_secret": (
        f"security: {{attestation: {{one_time_password_shared_secret: {'A' * 32}}}}}"
    ),
    "security.service_access_token": "security: {service_access_token: x}",
    "security.singleton_enclaves": "security: {singleton_enclaves: true}",
    "services.attestation": f"services: [{{name: s, command: r, attestation: {{mrenclave: {MEASUREMENT}}}}}]",
    "services.fspf_update_policy": (
        f"services: [{{name: s, command: r, import: b, {_FSPF}, fspf_update_policy: no_rollback_protection}}]"
    ),
    "services.import": "services: [{name: s, command: r, import: b}]",
    "services.mrenclaves": f"services: [{{name: s, command: r, mrenclaves: [{MEASUREMENT}]}}]",
    "services.one_time_password_shared_secret": (
        f"services: [{{name: s, command: r, import: b, one_time_password_shared_secret: {'A' * 32}}}]"
    ),
    "services.persistency": "services: [{name: s, command: r, import: b, persistency: None}]",
    "services.platforms": f"services: [{{name: s, command: r, import: b, platforms: [{MEASUREMENT}]}}]",
    "services.tags": "services: [{name: s, command: r, import: b, tags: [demo]}]",
    "volumes.export.to": "volumes: [{name: v, export: {to: {session: b}}}]",
    "volumes.export.volume_alias": "volumes: [{name: v, export: {to: {session: b}, volume_alias: w}}]",
}


def _warnings(rest: str, version: str, name: str = "a") -> list[str]:
    session = parse_session(f'name: {name}\nversion: "{version}"\n{rest}\n')
    return [str(warning) for warning in session.warnings]


def _before(version: str) -> str:
    return VERSIONS[VERSIONS.index(version) - 1] if version != "0.3.0" else "0.2"


@pytest.mark.parametrize("entry", sorted(_SINCE))
def test_what_came_later_is_accepted_with_a_warning(entry: str) -> None:
    """In the version before there is one that names the right version, in that version there is none."""
    since = _SINCE[entry]
    told = f"came with version {since}, and the document is of version {_before(since)}"
    assert any(told in warning for warning in _warnings(_PARTS[entry], _before(since)))
    assert not any(f"came with version {since}" in warning for warning in _warnings(_PARTS[entry], since))


@pytest.mark.parametrize("entry", sorted(_GONE))
def test_what_should_be_written_otherwise_is_accepted_with_a_warning(entry: str) -> None:
    """From the version on that advises against it, with what to write."""
    since, hint = _GONE[entry]
    assert any(hint in warning for warning in _warnings(_PARTS[entry], since))
    assert since == "0.1" or not any(hint in warning for warning in _warnings(_PARTS[entry], _before(since)))


def test_a_document_of_0_3_may_be_of_any_that_could_not_be_named() -> None:
    """Minor versions can be named since 0.3.10 only, so what came up to 0.3.9 is expected, and nothing is outdated."""
    assert rank("0.3.9") == rank("0.3")
    assert oldest_rank("0.3") == rank("0.3.0")
    assert _warnings(_PARTS["services.mrenclaves"], "0.3") == []
    assert _warnings(_PARTS["services.attestation"], "0.3") == []
    assert _warnings(_PARTS["services.mrenclaves"], "0.3.10") != []


def test_a_document_without_a_version_is_told_so() -> None:
    """Unless ``digest`` shows that version 0.1 is meant."""
    (warning,) = parse_session("name: a").warnings
    assert 'document of language version 0.1 (write version: "0.3.11")' in str(warning)
    assert parse_session("name: a\ndigest: create").warnings == ()


@pytest.mark.parametrize(
    ("rest", "version", "told"),
    [
        ("secrets: [{name: s, import: {session: ./b}}]", "0.3", "a relative name came with version 0.3.10"),
        ("secrets: [{name: s, kind: ascii, export: {namespace: ./b}}]", "0.3", "a relative name came"),
        ("secrets: [{name: s, import: b}]", "0.3", "a name alone is the form of version 0.2 (write {session: b})"),
        ("volumes: [{name: v, export: [b]}]", "0.3", "a name alone is the form of version 0.2"),
        (
            "services: [{name: s, command: run @@1, import: b}]",
            "0.3.7",
            "an argument of the host came with version 0.3.8",
        ),
        (
            "services: [{name: s, command: r, import: b, environment: {'\\@\\@N': x}}]",
            "0.3.7",
            "a variable of the host came with version 0.3.8",
        ),
        (
            "services: [{name: s, command: r, import: b, environment: {SCONE_HEAP: 1G}}]",
            "0.3.11",
            "SCONE_HEAP has no effect in a session",
        ),
        (
            "secrets: [{name: m, import: {session: b}}]\nsecurity: {attestation: {tolerate: [$$SCONE::m$$]}}",
            "0.3",
            "a secret in a section came with version 0.3.10",
        ),
        ("security: {attestation: {mode: none}}", "0.3.11", "attestation is disabled"),
        ("security: {attestation: {url: 'https://a.b.attest.azure.net'}}", "0.3.11", "no effect without mode maa"),
        (
            "security: {attestation: {ignore_advisories: '*'}}",
            "0.3.11",
            "the wildcard has no effect",
        ),
        ("access_policy: {update: ANY}", "0.3.11", "everybody may update"),
        ("access_policy: {create_sessions: [ANY]}", "0.3.11", "everybody may create_sessions"),
        (
            "secrets: [{name: s, import: {session: b}, private_key: k}, {name: k, kind: private-key}]",
            "0.3.11",
            "private_key has no effect on a secret that is imported",
        ),
        (
            f"secrets: [{{name: s, kind: private-key, key_type: P-384, value: {KEY_PEM!r}}}]".replace("'", '"'),
            "0.3.11",
            "key_type has no effect on a secret that has a value",
        ),
        (
            f"secrets: [{{name: s, kind: x509, valid_for: 1d, value: {CERTIFICATE_PEM!r}}}]".replace("'", '"'),
            "0.3.11",
            "valid_for has no effect on a secret that has a value",
        ),
    ],
)
def test_other_warnings(rest: str, version: str, told: str) -> None:
    """Each names what is of no use, or of more use than is meant."""
    assert any(told in warning for warning in _warnings(rest, version))


@pytest.mark.parametrize(
    ("suffix", "version", "told"),
    [
        (":base64", "0.3.5", "the suffix :base64 came with version 0.3.6"),
        (":hex", "0.3.4", "the suffix :hex came with version 0.3.5"),
        (":base32nopad", "0.3", "the suffix :base32nopad came with version 0.3.10"),
        (".hex", "0.3.5", "the suffix .hex is not for versions from 0.3.5 on"),
        (":hex|escape(json)", "0.3.9", "|escape(json) came with version 0.3.10"),
    ],
)
def test_formats(suffix: str, version: str, told: str) -> None:
    """Suffixes have their versions too."""
    rest = (
        f"services: [{{name: m, command: [run, '$$SCONE::s{suffix}$$'], import: b}}]\n"
        "secrets: [{name: s, kind: binary}]"
    )
    assert any(told in warning for warning in _warnings(rest, version))
    assert not any("suffix" in warning for warning in _warnings(rest.replace(suffix, ":hex"), "0.3.11"))


def test_namespaces_came_with_0_3_5() -> None:
    """In version 0.1 a slash was part of a name."""
    assert any("a namespace came with" in warning for warning in _warnings("", "0.3.4", "a/b"))
    assert _warnings("digest: create", "0.1", "a/b") == _warnings("", "0.3", "a/b") == []


def test_the_demo_is_up_to_date_but_for_one_word() -> None:
    """Which half of all sessions of users have."""
    (warning,) = parse_session(TEMPLATE, variables=VARIABLES).warnings
    assert (warning.line, warning.path) == (6, "services[0].mrenclaves")


def test_warnings_show_no_value_of_a_variable() -> None:
    """Which may be a secret."""
    text = 'name: a\nversion: "0.3"\nsecrets: [{name: s, kind: ascii, export: $TO}]'
    (warning,) = parse_session(text, variables={"TO": "canary"}).warnings
    assert "canary" not in str(warning)
