"""Explanations of sessions: nothing that a session gives away is left out, and no value is in them."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.policy import parse_session
from bannock.policy.explain import explain
from bannock.policy.explain_graph import explanation_dot
from bannock.policy.explain_text import explanation_text
from bannock.policy.session import Section
from tests.unit.policy.documents import MEASUREMENT, SIGNER, TAG, parse

FRIEND: Final = "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"
_SIGNER_KEY: Final = "MCowBQYDK2VwAyEAOsufQ7RCOXueVLQBpk7Y44GAaj+LzPbmHfdr/TPdlrE="
_OTHER_KEY: Final = "MCowBQYDK2VwAyEAKak2GTmYnfZbyKkAmcmpgCbOQ3nV4vYfAfLjsFF2V5E="


def _signer(key: str) -> str:
    return f'signer: "-----BEGIN PUBLIC KEY-----\\n{key}\\n-----END PUBLIC KEY-----\\n"'


_DOCUMENT: Final = f"""
name: company/app
version: "0.3.10"
services:
  - name: web
    image_name: image
    command: [serve, --key, "$$SCONE::tls:privatekey$$"]
    environment: {{GREETING: "hello $$SCONE::greeting$$"}}
    attestation: {{mrenclave: [{MEASUREMENT}], signer: {{mrsigner: {SIGNER}, isvprodid: 6, isvsvn_min: 3}}}}
    fspf_path: /main.fspf
    fspf_key: $$SCONE::disk$$
    fspf_tag: {TAG}
  - name: job
    command: run
    mrenclaves: [{MEASUREMENT}]
images:
  - name: image
    volumes: [{{name: data, path: /data}}]
    injection_files: [{{path: /etc/ca.pem, content: "$$SCONE::ca:crt$$"}}]
volumes: [{{name: data}}]
secrets:
  - {{name: tls_key, kind: private-key}}
  - {{name: ca_key, kind: private-key}}
  - {{name: ca, kind: x509-ca, private_key: ca_key, common_name: ca, export: {{session: company/other}}}}
  - {{name: tls, kind: x509, private_key: tls_key, issuer: ca, common_name: server, export_public: true}}
  - {{name: greeting, kind: ascii, value: canary-of-the-document}}
  - {{name: disk, kind: binary, size: 32}}
  - {{name: reader, kind: ascii, import: {{session: elsewhere, secret: who}}}}
  - {{name: otp, kind: binary, size: 20}}
  - {{name: idle, kind: binary}}
security:
  service_access_token: canary-of-the-token
  attestation:
    tolerate: [simulation, hyperthreading]
    one_time_password_shared_secret: $$SCONE::otp:base32nopad$$
access_policy:
  read: [CREATOR, "$$SCONE::reader$$"]
  update:
    require-all:
      - {_signer(_SIGNER_KEY)}
      - require-at-least-1: [{{{_signer(_OTHER_KEY)}}}, {FRIEND}]
"""


def test_who_may_do_what() -> None:
    """Rules as they are nested, and each identity as the decision itself answers."""
    explanation = explain(parse_session(_DOCUMENT))
    assert explanation.rules["read"] == ("the creator", "whoever secret reader names")
    first, second, third, fourth, fifth = explanation.rules["update"]
    assert first == "all 2 of:"
    assert second.startswith("  signer ")
    assert third == "  at least 1 of 2:"
    assert fourth.startswith("    signer ")
    assert fifth == f"    client {FRIEND}"
    assert explanation.rules["create_sessions"] == ("whoever may update",)
    may = {identity.label: dict(identity.may) for identity in explanation.identities}
    assert may["the creator"] == {"read": "yes", "update": "no", "create_sessions": "no"}
    assert may["whoever secret reader names"]["read"] == "yes"
    signers = [label for label in may if label.startswith("signer ")]
    assert len(signers) == 2
    for signer in signers:
        assert may[signer] == {"read": "no", "update": "with others", "create_sessions": "with others"}
    assert may[f"client {FRIEND}"] == {"read": "no", "update": "with others", "create_sessions": "with others"}


def test_a_signer_reads_nothing_by_signing() -> None:
    """Not even where everybody may read: a request to read is not signed."""
    explanation = explain(parse(rest=f"access_policy: {{read: ANY, update: {{{_signer(_SIGNER_KEY)}}}}}"))
    may = {identity.label: dict(identity.may) for identity in explanation.identities}
    (signer,) = (label for label in may if label.startswith("signer "))
    assert may[signer] == {"read": "no", "update": "yes", "create_sessions": "yes"}
    assert may["anybody with a key"] == {"read": "yes", "update": "no", "create_sessions": "no"}


def test_what_a_service_sees() -> None:
    """Arguments, environment, files, keys of protection files; and the key that a certificate brings with it."""
    web, job = explain(parse_session(_DOCUMENT)).services
    assert {(flow.secret, flow.part, flow.place) for flow in web.sees} == {
        ("tls", "privatekey", "argument 2"),
        ("tls_key", "with certificate tls", "argument 2"),
        ("greeting", "", "environment GREETING"),
        ("ca", "crt", "file /etc/ca.pem"),
        ("disk", "", "key of /main.fspf"),
    }
    (mount,) = web.mounts
    assert (mount.volume, mount.path, mount.update_policy, mount.key) == (
        "data",
        "/data",
        "rollback_protected",
        "made by CAS",
    )
    assert (job.sees, job.mounts) == ((), ())
    assert web.trusted == (f"MRENCLAVE {MEASUREMENT}, signed by MRSIGNER {SIGNER}, ISVPRODID 6, ISVSVN at least 3",)
    assert job.needs == web.needs == ("a one-time password", "the service access token")


def test_where_secrets_come_from_and_go() -> None:
    """Services, other sessions, everybody, and what else is made of them."""
    secrets = {secret.name: secret for secret in explain(parse_session(_DOCUMENT)).secrets}
    assert secrets["tls_key"].services == ("web",)
    assert secrets["tls_key"].uses == ("key of certificate tls",)
    assert secrets["ca_key"].services == ()
    assert secrets["ca"].sessions == ("session company/other",)
    assert secrets["ca"].uses == ("signs certificate tls",)
    assert secrets["tls"].public
    assert secrets["reader"].origin == "imported: who of session elsewhere"
    assert secrets["reader"].uses == ("says who may read",)
    assert secrets["otp"].uses == ("shared secret of one-time passwords",)
    assert secrets["greeting"].written


def test_what_to_look_at() -> None:
    """Dangers, said in words."""
    notes = explain(parse_session(_DOCUMENT)).notes
    assert notes[0].startswith("simulation is tolerated")
    assert "weaknesses of platforms are tolerated: hyperthreading" in notes
    assert "whoever may read the session reads the values that the document holds: greeting" in notes
    assert "secret idle goes nowhere" in notes


@pytest.mark.parametrize(
    ("rest", "note"),
    [
        ("security: {attestation: {mode: none}}", "attestation is disabled: every program"),
        ("access_policy: {update: ANY}", "everybody may replace this session"),
        ("access_policy: {update: NONE}", "nobody may ever change this session"),
        ("access_policy: {read: ANY}\nsecrets: [{name: s, kind: ascii, value: v}]", "everybody reads the values"),
        ("security: {attestation: {tolerate: [debug-mode]}}", "debug-mode is tolerated"),
        ('security: {attestation: {tolerate: [debug-mode], ignore_advisories: "*"}}', "all advisories are ignored"),
    ],
)
def test_each_danger_is_told(rest: str, note: str) -> None:
    """One session for each."""
    assert any(found.startswith(note) for found in explain(parse(rest=rest)).notes)


def test_a_disabled_attestation_trusts_everybody_whatever_else_is_said() -> None:
    """The measurements of services have no effect then."""
    text = explanation_text(explain(parse(rest="security: {attestation: {mode: none}}")))
    assert "may be: every program" in text
    assert MEASUREMENT not in text


_RULES: Final = f"[{{tdx: {{mrtd: {'ab' * 48}}}}}, {{sev-snp: {{measurement: {'cd' * 48}, guest_svn: 3}}}}]"


@pytest.mark.parametrize(
    ("attestation", "platforms"),
    [
        ("{}", ["sgx"]),
        ("{mode: none}", ["anything: attestation is disabled"]),
        ("{tolerate: [simulation]}", ["sgx", "sim, which keeps nothing from its host"]),
        (
            f"{{machines: {_RULES}}}",
            [
                "sgx",
                f"tdx with mrtd {'ab' * 48}",
                f"sev-snp with measurement {'cd' * 48}, vmpl 0, guest_svn at least 3",
            ],
        ),
        (
            f"{{trusted_scone_qe_pubkeys: ['{MEASUREMENT}']}}",
            ["sgx", f"tdx, sev-snp or tpm, any machine with attester {MEASUREMENT}"],
        ),
        (
            "{mode: maa, url: https://a.b.attest.azure.net, tolerate: [maa-managed-tcb]}",
            ["sgx, as Microsoft Azure Attestation judges it"],
        ),
    ],
)
def test_where_a_service_may_run(attestation: str, platforms: list[str]) -> None:
    """Every platform that the session accepts, with what a machine of it has to be."""
    explanation = explain(parse(rest=f"security: {{attestation: {attestation}}}"))
    assert list(explanation.services[0].platforms) == platforms
    assert f"    on: {platforms[0]}\n" in explanation_text(explanation)


def test_a_tpm_is_told_to_keep_no_memory() -> None:
    """Its name alone would promise more."""
    rules = f"[{{tpm: {{pcrs: {{sha256: {{4: {MEASUREMENT}}}}}}}}}]"
    notes = explain(parse(rest=f"security: {{attestation: {{machines: {rules}}}}}")).notes
    assert any(note.startswith("machines with a TPM are trusted") for note in notes)


def test_what_secrets_will_say_is_not_guessed() -> None:
    """A section that stands in a secret is no default."""
    session = dataclasses.replace(parse(), unbound=frozenset({Section.ACCESS_POLICY}))
    explanation = explain(session)
    assert explanation.identities == ()
    assert explanation.rules["read"] == ("whoever the secrets name that stand here",)
    assert "access_policy stands in secrets" in "".join(explanation.notes)


def test_no_value_is_shown() -> None:
    """Not even in the JSON form."""
    explanation = explain(parse_session(_DOCUMENT))
    shown = explanation_text(explanation) + explanation_dot(explanation) + str(dataclasses.asdict(explanation))
    assert "canary" not in shown
    assert _DOCUMENT.count("canary") == 2


def _drawn(graph: str) -> str:
    program = shutil.which("dot")
    if program is None:
        pytest.skip("needs Graphviz")
    return subprocess.run([program, "-Tplain"], input=graph, capture_output=True, check=True, text=True).stdout


def test_the_picture_has_everything() -> None:
    """Every service, secret, volume, identity and export is a node that Graphviz draws."""
    plain = _drawn(explanation_dot(explain(parse_session(_DOCUMENT))))
    nodes = [line for line in plain.splitlines() if line.startswith("node ")]
    for name in ("service web", "service job", "volume data", "secret tls_key", "secret idle", "identity the creator"):
        assert any(f'"{name}"' in line for line in nodes), name
    assert any("session everybody" in line for line in nodes)


@settings(deadline=None, max_examples=25)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_no_name_breaks_the_picture(name: str) -> None:
    """Quotes, backslashes and brackets are text in it."""
    explanation = explain(parse())
    (service,) = explanation.services
    graph = explanation_dot(dataclasses.replace(explanation, services=(dataclasses.replace(service, name=name),)))
    assert _drawn(graph).count("\nnode ") == _drawn(explanation_dot(explanation)).count("\nnode ")


def test_what_a_service_shows_is_told() -> None:
    """To whom, where, and for how long it holds."""
    shown = explanation_text(
        explain(
            parse(
                service="attestation_token: {path: /run/token, audience: https://rp.example}\n"
                "ra_tls: {certificate: /tls/cert, private_key: /tls/key, lifetime: 2h}"
            )
        )
    )
    assert "    shows: what it is, to https://rp.example: /run/token holds for 3600 seconds\n" in shown
    assert "    shows: what it is, to whoever connects: /tls/cert holds for 7200 seconds\n" in shown
