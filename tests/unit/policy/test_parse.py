"""The session language: what it accepts, and what it says of everything else."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bannock.errors import PolicySyntaxError, render
from bannock.policy import parse_session
from bannock.policy.rules import Keyword
from bannock.policy.secret_specs import ExplicitValue, GeneratedValue, SecretSpec
from bannock.policy.session import (
    AttestationMode,
    AttestationVariant,
    ExplicitKey,
    GeneratedKey,
    SecretKey,
    SignerRule,
    Toleration,
)
from bannock.policy.template import SecretKind
from bannock.values import FspfKey, FspfTag, KeyHash, Measurement, Secret
from tests.unit.policy.documents import (
    KEY,
    MEASUREMENT,
    OTHER_MEASUREMENT,
    SIGNER,
    TAG,
    TEMPLATE,
    VARIABLES,
    issues_of,
    only_issue,
    parse,
    session_text,
)

_MEASUREMENT: Final = Measurement.from_hex(MEASUREMENT)
_OTHER: Final = Measurement.from_hex(OTHER_MEASUREMENT)
_SIGNER: Final = Measurement.from_hex(SIGNER)


def test_the_demo_template_parses() -> None:
    """Every part of the copy demo's session arrives as a typed value."""
    session = parse_session(TEMPLATE, variables=VARIABLES)
    service = session.service("copy_demo")
    image = session.image_of(service)
    assert session.name == "demo"
    assert [word.literal for word in service.command] == [
        "copy_demo",
        "-a",
        "/encryptedInputs/.",
        "/encryptedOutputs/",
    ]
    assert service.attestation == (AttestationVariant(measurements=(_MEASUREMENT,)),)
    assert [(volume.name, volume.path) for volume in image.volumes] == [
        ("encrypted-input-files", "/encryptedInputs"),
        ("encrypted-output-files", "/encryptedOutputs"),
    ]
    assert (image.files[0].path, image.files[0].mode) == ("/etc/greeting.conf", 0o400)
    assert [volume.key for volume in session.volumes] == [
        ExplicitKey(key=FspfKey.from_hex(KEY), tag=FspfTag.from_hex(TAG)),
        GeneratedKey(),
    ]
    assert session.secrets == (
        SecretSpec(name="greeting", kind=SecretKind.ASCII, source=GeneratedValue(size=20), export_public=False),
    )
    assert session.security.tolerated == {Toleration.SIMULATION}
    assert session.access_policy.update == (Keyword.CREATOR,)


def test_defaults() -> None:
    """A session that says little trusts little: hardware, no weakness, its creator alone."""
    session = parse_session('name: a\nversion: "0.3"')
    assert session.security.mode is AttestationMode.HARDWARE
    assert session.security.tolerated == frozenset()
    assert session.security.ignored_advisories == frozenset()
    assert session.access_policy.read == session.access_policy.update == (Keyword.CREATOR,)
    assert session.access_policy.create_sessions is None
    assert session.predecessor is None


@pytest.mark.parametrize(
    ("written", "variants"),
    [
        (f"mrenclaves: [{MEASUREMENT}]", [AttestationVariant(measurements=(_MEASUREMENT,))]),
        (f"mrenclaves: [{MEASUREMENT.upper()}]", [AttestationVariant(measurements=(_MEASUREMENT,))]),
        (f"attestation: [{{mrenclave: [{MEASUREMENT}]}}]", [AttestationVariant(measurements=(_MEASUREMENT,))]),
        (f"attestation: {{mrenclave: {MEASUREMENT}}}", [AttestationVariant(measurements=(_MEASUREMENT,))]),
        (
            f"attestation: {{mrenclave: [{MEASUREMENT}, {OTHER_MEASUREMENT}]}}",
            [AttestationVariant(measurements=(_MEASUREMENT, _OTHER))],
        ),
        (
            f"attestation: [{{signer: {{mrsigner: {SIGNER}, isvprodid: 6, isvsvn: 4}}}}]",
            [AttestationVariant(signer=SignerRule(signer=_SIGNER, product_id=6, svn_min=4, svn_max=4))],
        ),
        (
            f"attestation:\n- mrenclave: {MEASUREMENT}\n- signer: {{mrsigner: {SIGNER}, isvprodid: 6, isvsvn_min: 2}}",
            [
                AttestationVariant(measurements=(_MEASUREMENT,)),
                AttestationVariant(signer=SignerRule(signer=_SIGNER, product_id=6, svn_min=2)),
            ],
        ),
    ],
)
def test_every_spelling_of_attestation(written: str, variants: list[AttestationVariant]) -> None:
    """However measurements are listed, they mean the same."""
    assert list(parse(attestation=written).services[0].attestation) == variants


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("command: run --flag=1  two", ["run", "--flag=1", "two"]),
        ("""command: mysql -e "show databases;" """, ["mysql", "-e", "show databases;"]),
        ("command: run 'a b' c", ["run", "a b", "c"]),
        ("command: [run, 'a b', '']", ["run", "a b", ""]),
        ("command: [run, 007, true]", ["run", "007", "true"]),
    ],
)
def test_commands(command: str, words: list[str]) -> None:
    """Text is split at white space outside of quotes, a list is taken as it is."""
    assert [word.literal for word in parse(service=command).services[0].command] == words


def test_environment_values_are_text() -> None:
    """Nothing of what a value looks like changes it."""
    service = parse(service="environment: {A: 010, B: yes, C: , D: '1.0'}").services[0]
    assert {name: value.literal for name, value in service.environment.items()} == {
        "A": "010",
        "B": "yes",
        "C": "",
        "D": "1.0",
    }


@pytest.mark.parametrize("version", ["0.2", "0.3", "0.3.1", "0.3.10", "0.3.11"])
def test_versions(version: str) -> None:
    """Versions 0.2 and all of 0.3 are known, quoted or not."""
    assert parse_session(f"name: a\nversion: {version}").version == version


def test_namespaces() -> None:
    """A name with slashes is in the namespace of the session before the last of them."""
    assert parse_session('name: my-company/project-1/hello\nversion: "0.3"').namespace == "my-company/project-1"
    assert parse_session('name: hello\nversion: "0.3"').namespace is None


@pytest.mark.parametrize(
    ("written", "spec"),
    [
        ("{name: s, kind: ascii, size: 12}", GeneratedValue(size=12)),
        ("{name: s, kind: binary}", GeneratedValue(size=20)),
        ("{name: s, kind: ascii, value: 'höchst geheim'}", ExplicitValue(value=Secret("höchst geheim".encode()))),
        ("{name: s, kind: binary, value: DEADBEEF}", ExplicitValue(value=Secret(b"\xde\xad\xbe\xef"))),
        ("{name: s, kind: binary, value: 0012}", ExplicitValue(value=Secret(b"\x00\x12"))),
    ],
)
def test_secrets(written: str, spec: GeneratedValue | ExplicitValue) -> None:
    """Secrets are generated in a size or given, binary ones in hexadecimal."""
    (secret,) = parse(rest=f"secrets: [{written}]").secrets
    assert secret.source == spec


def test_a_secret_may_be_public() -> None:
    """``export_public`` is read as the truth value it is."""
    rest = "secrets: [{name: s, kind: ascii, export_public: true}, {name: t, kind: ascii, export_public: false}]"
    assert [secret.export_public for secret in parse(rest=rest).secrets] == [True, False]


def test_a_secret_may_be_the_key_of_a_volume() -> None:
    """A binary secret of 32 bytes is a key; the volume's first user initialises it unless it has a tag."""
    rest = f"""
    volumes: [{{name: v, fspf_key: $$SCONE::k$$}}, {{name: w, fspf_key: $$SCONE::l$$, fspf_tag: {TAG}}}]
    secrets: [{{name: k, kind: binary, size: 32}}, {{name: l, kind: binary, value: {KEY}}}]
    """
    assert [volume.key for volume in parse(rest=rest).volumes] == [
        SecretKey(secret_name="k", tag=None),
        SecretKey(secret_name="l", tag=FspfTag.from_hex(TAG)),
    ]


def test_security() -> None:
    """What a session tolerates and which advisories it ignores are sets; ``*`` is all of them."""
    text = "security: {attestation: {tolerate: [debug-mode, outdated-tcb], ignore_advisories: [INTEL-SA-00161]}}"
    security = parse(rest=text).security
    assert security.tolerated == {Toleration.DEBUG_MODE, Toleration.OUTDATED_TCB}
    assert security.ignored_advisories == frozenset({"INTEL-SA-00161"})
    assert parse(rest='security: {attestation: {ignore_advisories: "*"}}').security.ignored_advisories is None


def _certificate() -> tuple[str, KeyHash]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
    return pem, KeyHash(hashlib.sha256(public).digest())


def test_access_entries() -> None:
    """Keywords, key hashes in both spellings and certificates; one entry needs no list."""
    pem, key_hash = _certificate()
    rest = (
        f"access_policy:\n  read:\n    - CREATOR\n    - {key_hash}\n"
        "    - 3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1\n    - |\n"
        + "".join(f"      {line}\n" for line in pem.splitlines())
        + "  update: NONE\n  create_sessions: ANY\n"
    )
    policy = parse_session(session_text() + rest).access_policy
    checked = KeyHash(bytes.fromhex("78f49e94c4e6c13d6519d4002e5f7329442370145e4bde47dbdc8adfd378a35a"))
    assert policy.read == (Keyword.CREATOR, key_hash, checked, key_hash)
    assert (policy.update, policy.create_sessions) == ((Keyword.NONE,), (Keyword.ANY,))


@pytest.mark.parametrize(
    ("service", "rest", "path", "message", "hint"),
    [
        ("", "acess_policy: {}", "acess_policy", "unknown key 'acess_policy'", "did you mean access_policy?"),
        ("", "volumes1: []", "volumes1", "unknown key", "did you mean volumes?"),
        ("enviroment: {}", "", "services[0].enviroment", "unknown key", "did you mean environment?"),
        ("env: {}", "", "services[0].env", "unknown key", "did you mean environment?"),
        ("xyzzy: 1", "", "services[0].xyzzy", "allowed: attestation, attestation_token, command", None),
        ("command: []", "", "services[0].command", "names a program", None),
        ("command: ''", "", "services[0].command", "names a program", None),
        ("command: ['']", "", "services[0].command", "names a program", None),
        ("command: {a: b}", "", "services[0].command", "names a program", None),
        ("""command: "run 'open" """, "", "services[0].command", "closed quotes", None),
        ('command: ["run", "a\\0b"]', "", "services[0].command[1]", "NUL", None),
        ("command: run @@0", "", "services[0].command", "a position from 1", None),
        ("command: run @@NAME", "", "services[0].command", "a position from 1", None),
        ("command: run @@1 @@1", "", "services[0].command", "the host argument @@1 is there twice", None),
        ("command: [run, '@@*', '@@*']", "", "services[0].command", "the host argument @@* is there twice", None),
        ("command: '@@1'", "", "services[0].command", "program itself cannot be", None),
        ("pwd: home", "", "services[0].pwd", "expected an absolute path", None),
        ("pwd: /a/../b", "", "services[0].pwd", "expected an absolute path", None),
        ("pwd: [/]", "", "services[0].pwd", "found a list", None),
        ("environment: [A=1]", "", "services[0].environment", "expected a mapping, found a list", None),
        ("environment: {A: [1]}", "", "services[0].environment.A", "expected text, found a list", None),
        ("environment: {'A=B': 1}", "", "services[0].environment", "without '='", None),
        ("environment: {'@@': 1}", "", "services[0].environment", "not empty", None),
        ("environment: {A: $$SCONE::b}", "", "services[0].environment.A", "closing $$", None),
        ("environment: {A: '$$SCONE::b c$$'}", "", "services[0].environment.A", "a placeholder is", None),
        (
            "image_name: img",
            "images: [{name: imj}]",
            "services[0].image_name",
            "no image is named",
            "did you mean imj?",
        ),
        ("platforms: [abc]", "", "services[0].platforms[0]", "expected 64 hexadecimal digits", None),
        ("", "secret_config: {store_in: disk}", "secret_config.store_in", "expected !cas, or !akv", None),
        ("", "predecessor: abc", "predecessor", "expected 64 hexadecimal digits, found 'abc'", None),
        ("", "images: [{name: i, volumes: [{name: v, path: /a}]}]", "images[0].volumes[0].name", "no volume", None),
        (
            "",
            "images: [{name: i, volumes: [{name: v, path: /}]}]\nvolumes: [{name: v}]",
            "images[0].volumes[0].path",
            "below /",
            None,
        ),
        (
            "",
            "images: [{name: i, mrenclaves: [a]}]",
            "images[0].mrenclaves[0]",
            "expected 64 hexadecimal digits",
            None,
        ),
        (
            "",
            "volumes: [{name: v}, {name: w}]\nimages: [{name: i,volumes: [{name: v, path: /a},{name: w, path: /a/}]}]",
            "images[0].volumes[1].path",
            "already",
            None,
        ),
        (
            "",
            "images: [{name: i, volumes: [{name: v, path: /a}, {name: v, path: /b}]}]\nvolumes: [{name: v}]",
            "images[0].volumes[1].name",
            "already",
            None,
        ),
        (
            "",
            "images: [{name: i, injection_files: [etc/my.cnf]}]",
            "images[0].injection_files[0]",
            "expected an absolute path",
            None,
        ),
        (
            "",
            "images: [{name: i, injection_files: [{path: /a, content: x, mode: 0o600}]}]",
            "images[0].injection_files[0].mode",
            "unknown key",
            "did you mean permission?",
        ),
        (
            "",
            "images: [{name: i, injection_files: [{path: /a, content: x, permission: 0o4755}]}]",
            "images[0].injection_files[0].permission",
            "an octal mode",
            None,
        ),
        ("", "volumes: [{name: v}, {name: v}]", "volumes[1].name", "taken in volumes already", None),
        ("", f"volumes: [{{name: v, fspf_tag: {TAG}}}]", "volumes[0]", "fspf_key beside fspf_tag", None),
        ("", f"volumes: [{{name: v, fspf_key: {KEY}}}]", "volumes[0]", "fspf_tag beside fspf_key", None),
        ("", "volumes: [{name: v, import: {}}]", "volumes[0].import", "session is missing", None),
        ("", "volumes: [{name: v, fspf_key: $$SCONE::k$$}]", "volumes[0].fspf_key", "no secret is named 'k'", None),
        (
            "",
            "volumes: [{name: v, fspf_key: $$SCONE::k$$}]\nsecrets: [{name: k, kind: binary}]",
            "volumes[0].fspf_key",
            "kind binary and size 32",
            None,
        ),
        ("", "secrets: [{name: s}]", "secrets[0]", "kind is missing, allowed: ascii, binary, private-key", None),
        ("", "secrets: [{name: s, kind: asci}]", "secrets[0].kind", "found 'asci'", "did you mean ascii?"),
        ("", "secrets: [{name: s, import: {}}]", "secrets[0].import", "session is missing", None),
        ("", "secrets: [{name: s, kind: ascii, export: {}}]", "secrets[0].export", "session or namespace", None),
        ("", "secrets: [{name: s, kind: ascii, size: 0}]", "secrets[0].size", "expected at least 1, found '0'", None),
        ("", "secrets: [{name: s, kind: ascii, size: 99999}]", "secrets[0].size", "expected at most 65536", None),
        ("", "secrets: [{name: s, kind: ascii, size: -1}]", "secrets[0].size", "a whole number, found '-1'", None),
        ("", "secrets: [{name: s, kind: ascii, size: 1, value: x}]", "secrets[0]", "not both", None),
        ("", "secrets: [{name: s, kind: binary, value: abc}]", "secrets[0].value", "even number", None),
        ("", "secrets: [{name: s, kind: ascii, export_public: 1}]", "secrets[0].export_public", "true or false", None),
        (
            "",
            "security: {attestation: {mode: node}}",
            "security.attestation.mode",
            "found 'node'",
            "did you mean none?",
        ),
        ("", "security: {attestation: {mode: maa}}", "security.attestation", "expected url", None),
        ("", "security: {singleton_enclaves: 1}", "security.singleton_enclaves", "true or false", None),
        ("", "security: [central]", "security", "expected a mapping, found a list", None),
        ("", "creator: $$SCONE::central$$\nname: a", "name", "occurs twice", None),
        (
            "",
            "security: {attestation: {tolerate: [debug-mode, debug-mode]}}",
            "security.attestation.tolerate[1]",
            "in the list twice",
            None,
        ),
        (
            "",
            "security: {attestation: {ignore_advisories: [SA-1]}}",
            "security.attestation.ignore_advisories[0]",
            "an advisory such as",
            None,
        ),
        (
            "",
            "access_policy: {read: '-----BEGIN CERTIFICATE-----'}",
            "access_policy.read",
            "a certificate in PEM",
            None,
        ),
        (
            "",
            "security: {attestation: {mode: maa, url: 'https://sharedweu.weu.attest.azure.net'}}",
            "security.attestation",
            "expected maa-managed-tcb in tolerate",
            None,
        ),
        (
            "",
            "volumes: [{name: v, fspf_key: x$$SCONE::k$$}]\nsecrets: [{name: k, kind: binary, size: 32}]",
            "volumes[0].fspf_key",
            "64 hexadecimal digits or",
            None,
        ),
        ("", "access_policy: {read: []}", "access_policy.read", "at least one entry", None),
        ("", "access_policy: {read: [ANY, CREATOR]}", "access_policy.read[0]", "only entry", None),
        ("", "access_policy: {read: [EVERYBODY]}", "access_policy.read[0]", "a key hash in base58", None),
        (
            "",
            "access_policy: {read: 3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x2}",
            "access_policy.read",
            "a key hash in base58",
            None,
        ),
    ],
)
def test_each_defect_is_named(service: str, rest: str, path: str, message: str, hint: str | None) -> None:
    """One defect gives one issue, with path, cause and, for a slip, what was meant."""
    issue = only_issue(session_text(service=service, rest=rest))
    assert (issue.path, issue.hint) == (path, hint)
    assert message in issue.message
    assert issue.line > 0
    assert issue.column > 0


@pytest.mark.parametrize(
    ("attestation", "path", "message"),
    [
        ("pwd: /", "services[0]", "attestation is missing"),
        ("mrenclaves: []", "services[0].mrenclaves", "at least one entry"),
        ("attestation: []", "services[0].attestation", "at least one entry"),
        ("attestation: [{}]", "services[0].attestation[0]", "expected mrenclave, signer or both"),
        ("mrenclaves: [abc]", "services[0].mrenclaves[0]", "expected 64 hexadecimal digits, found 'abc'"),
        ("attestation: {mrenclave: abc}", "services[0].attestation.mrenclave", "expected 64 hexadecimal digits"),
        ("attestation: {mrenclave: $$SCONE::m$$}", "services[0].attestation.mrenclave", "no secret is named"),
        (f"mrenclaves: ['{MEASUREMENT[:-2]} 0']", "services[0].mrenclaves[0]", "expected 64 hexadecimal digits"),
        (
            f"mrenclaves: [{MEASUREMENT}]\nattestation: {{mrenclave: {MEASUREMENT}}}",
            "services[0]",
            "not both",
        ),
        (
            f"attestation: {{signer: {{mrsigner: {SIGNER}}}}}",
            "services[0].attestation.signer",
            "isvprodid is missing",
        ),
        (
            f"attestation: {{signer: {{mrsigner: {SIGNER}, isvprodid: 1, isvsvn: 1, isvsvn_min: 1}}}}",
            "services[0].attestation.signer",
            "not both",
        ),
        (
            f"attestation: {{signer: {{mrsigner: {SIGNER}, isvprodid: 1, isvsvn_min: 3, isvsvn_max: 2}}}}",
            "services[0].attestation.signer",
            "at most isvsvn_max",
        ),
        (
            f"attestation: {{signer: {{mrsigner: {SIGNER}, isvprodid: 65536}}}}",
            "services[0].attestation.signer.isvprodid",
            "at most 65535",
        ),
    ],
)
def test_each_defect_of_attestation_is_named(attestation: str, path: str, message: str) -> None:
    """What would trust nobody, or could be read in two ways, is refused."""
    issue = only_issue(session_text(attestation=attestation))
    assert issue.path == path
    assert message in issue.message


def test_without_attestation_a_service_needs_no_measurement() -> None:
    """``mode: none`` trusts every enclave, and the session says so."""
    session = parse(attestation="pwd: /", rest="security: {attestation: {mode: none}}")
    assert session.services[0].attestation == ()


@pytest.mark.parametrize("name", ["", "a b", "a//b", "/a", "a/", "..", "a/../b", "ä", "x" * 129, "a/" * 600 + "a"])
def test_names_of_sessions_are_checked(name: str) -> None:
    """A name is made of the unreserved characters of RFC 3986, and never of relative parts."""
    assert only_issue(f'name: "{name}"\nversion: "0.3"').path == "name"


def test_what_is_missing_is_named() -> None:
    """A document has a name."""
    assert only_issue("services: []").message == "name is missing"


@pytest.mark.parametrize("text", ["[]", "text", "- a: b"])
def test_a_document_is_a_mapping(text: str) -> None:
    """Anything else is one issue."""
    assert "expected a mapping" in only_issue(text).message


def test_all_issues_come_at_once_in_the_order_of_the_document() -> None:
    """Slips, missing values, variables and references are told in one run, with their places."""
    text = (
        "name: $SESSION\n"
        'version: "0.3"\n'
        "services:\n"
        "  - name: a\n"
        "    command: run $$SCONE::pasword$$\n"
        "    mrenclave: x\n"
        "    image_name: nowhere\n"
        "secrets:\n"
        "  - {name: password, kind: ascii, siez: 3}\n"
        "varsion: 1\n"
    )
    assert [(issue.line, issue.column, issue.path) for issue in issues_of(text)] == [
        (1, 7, "name"),
        (4, 5, "services[0]"),
        (5, 14, "services[0].command"),
        (6, 5, "services[0].mrenclave"),
        (7, 17, "services[0].image_name"),
        (9, 35, "secrets[0].siez"),
        (10, 1, "varsion"),
    ]


def test_a_document_full_of_defects_gives_a_bounded_answer() -> None:
    """Nobody reads ten thousand issues, and nobody should wait for them."""
    text = "name: a\nversion: '0.3'\nservices: [" + "x," * 10_000 + "]"
    assert len(issues_of(text)) == 100


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("environment: {A: $$SCONE::passwort$$}", "no secret is named 'passwort'"),
        ("environment: {A: $$SCONE::raw$$}", "needs a format that is text"),
        ("environment: {A: $$SCONE::raw:bin$$}", "needs a format that is text"),
        ("environment: {A: '$$SCONE::raw|escape(json)$$'}", "needs a format that is text"),
        ("environment: {A: $$SCONE::raw:pem$$}", "no format :pem, allowed: :bin, :hex"),
        ("environment: {A: $$SCONE::password:hex$$}", "no format :hex, allowed: no suffix"),
        ("command: [run, $$SCONE::raw$$]", "needs a format that is text"),
    ],
)
def test_placeholders_are_checked_against_the_secrets(service: str, message: str) -> None:
    """A placeholder names a secret of the session, in a format that its kind has and its place can hold."""
    rest = "secrets: [{name: password, kind: ascii}, {name: raw, kind: binary}]"
    assert message in only_issue(session_text(service=service, rest=rest)).message


def test_files_may_hold_raw_binary_secrets() -> None:
    """A file holds bytes, so the plain form of a binary secret fits."""
    rest = (
        "secrets: [{name: raw, kind: binary}]\n"
        "images: [{name: i, injection_files: [{path: /key, content: $$SCONE::raw$$}]}]"
    )
    assert parse(rest=rest).images[0].files[0].mode == 0o700


CANARY: Final = "canary7f3a9"


@pytest.mark.parametrize(
    "rest",
    [
        f"volumes: [{{name: v, fspf_key: {CANARY}}}]",
        f"volumes: [{{name: v, fspf_key: [{CANARY}]}}]",
        f"volumes: [{{name: v, fspf_key: '$$SCONE::{CANARY} $$'}}]",
        f"volumes: [{{name: v, fspf_key: {KEY}, fspf_tag: {CANARY}}}]",
        "volumes: [{name: v, fspf_key: $CANARY}]",
        f"secrets: [{{name: s, kind: binary, value: {CANARY}}}]",
        f'secrets: [{{name: s, kind: ascii, value: "{CANARY}\\0"}}]',
        f"secrets: [{{name: s, kind: ascii, value: [{CANARY}]}}]",
        f"secrets: [{{name: s, kind: ascii, size: 3, value: {CANARY}}}]",
        f"secrets: [{{name: s, kind: x509, value: {CANARY}}}]",
        f"images: [{{name: i, injection_files: [{{path: /a, content: '{CANARY} $$SCONE::x'}}]}}]",
        "predecessor: $CANARY",
        "images: [{name: $CANARY, volumes: [{name: $CANARY, path: $CANARY}]}]",
        "secrets: [{name: s, kind: $CANARY}]",
        "$CANARY: 1",
        "security: {attestation: {mode: $CANARY, tolerate: [$CANARY, $CANARY]}}",
    ],
)
def test_no_issue_repeats_a_secret(rest: str) -> None:
    """Neither the values of keys and secrets nor those of variables are in any message."""
    with pytest.raises(PolicySyntaxError) as caught:
        parse_session(session_text(rest=rest), variables={"CANARY": f"{CANARY}!"})
    assert CANARY not in "\n".join(render(caught.value))
    assert CANARY not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_repr_shows_no_secret() -> None:
    """A session in a log or a traceback gives nothing away."""
    rest = f"""
    secrets: [{{name: s, kind: ascii, value: {CANARY}}}]
    volumes: [{{name: v, fspf_key: {KEY}, fspf_tag: {TAG}}}]
    images: [{{name: i, injection_files: [{{path: /a, content: '{CANARY} $$SCONE::s$$'}}]}}]
    """
    session = parse(service=f"command: run {CANARY}\nenvironment: {{A: {CANARY}}}", rest=rest)
    assert CANARY not in repr(session)
    assert KEY not in repr(session)
