"""Services, images and their security as documents write them, old spellings included."""

from __future__ import annotations

from typing import Final

import pytest

from bannock.policy import parse_session
from bannock.policy.credentials import RaTlsFiles, TokenFile
from bannock.policy.references import SessionReference
from bannock.policy.session import AttestationMode, AttestationVariant, ImageFile, PartExport, Section, Toleration
from bannock.values import Measurement, Secret
from tests.unit.policy.documents import KEY, MEASUREMENT, SIGNER, TAG, issues_of, only_issue, parse, session_text
from tests.unit.policy.test_language_of_secrets import CERTIFICATE_PEM

_MEASUREMENT: Final = Measurement.from_hex(MEASUREMENT)


@pytest.mark.parametrize(
    "command", ["run arg1 @@1 @@2 @@*", "[run, arg1, '@@1', '@@2', '@@*']", r"run arg1 '\@\@1' @@2 @@*"]
)
def test_arguments_of_the_host(command: str) -> None:
    """They keep their places as text, whether the reference's escapes were copied or not."""
    words = parse(service=f"command: {command}").services[0].command
    assert [word.literal for word in words] == ["run", "arg1", "@@1", "@@2", "@@*"]


def test_what_only_looks_like_an_argument_of_the_host() -> None:
    """An address has one sign, and a secret that is put in later is none."""
    rest = "secrets: [{name: s, kind: ascii, value: '@@1'}]"
    words = parse(service="command: [run, a@b, 'x@@1', '$$SCONE::s$$']", rest=rest).services[0].command
    assert [word.literal for word in words] == ["run", "a@b", "x@@1", ""]


def test_variables_of_the_host() -> None:
    """The name tells; the value in the session does not matter."""
    service = parse(service=r"environment: {'@@NAME': x, '\@\@OTHER': y, PLAIN: z}").services[0]
    assert list(service.environment) == ["@@NAME", "@@OTHER", "PLAIN"]


def test_injected_files() -> None:
    """A path alone is the file at it; the mode is octal in every spelling."""
    rest = "images: [{name: i, injection_files: [/a, {path: /b}, {path: /c, content: x, permission: 0400}]}]"
    first, second, third = parse(rest=rest).images[0].files
    assert first == ImageFile(path="/a", content=None, mode=0o700)
    assert second == ImageFile(path="/b", content=None, mode=0o700)
    assert third.mode == 0o400


def test_platforms_and_factors_of_a_service() -> None:
    """Keys of machines in either case, and a shared secret of its own."""
    service = parse(
        service=f"platforms: [{MEASUREMENT.upper()}]\none_time_password_shared_secret: {'A2' * 16}"
    ).services[0]
    assert service.platforms == (MEASUREMENT,)
    assert service.one_time_password_secret is not None
    assert service.one_time_password_secret.literal == "A2" * 16


def test_security() -> None:
    """Everything that a session can say of it."""
    rest = f"""
    security:
      singleton_enclaves: true
      service_access_token: j765WyMWTKksiqWbBuuc
      attestation:
        mode: maa
        url: https://sharedweu.weu.attest.azure.net/
        tolerate: [debug, maa-managed-tcb]
        certificates: ["{CERTIFICATE_PEM.replace(chr(10), chr(92) + "n")}"]
        min_rsa_signing_key_size: 2048
        trusted_scone_qe_pubkeys: ["{SIGNER.upper()}"]
        one_time_password_shared_secret: BASE32SECRET3232BASE32SECRET3232
    """
    security = parse(rest=rest).security
    assert security.singleton_enclaves
    assert security.service_access_token == Secret(b"j765WyMWTKksiqWbBuuc")
    assert security.mode is AttestationMode.MAA
    assert security.maa_url == "https://sharedweu.weu.attest.azure.net"
    assert security.tolerated == {Toleration.DEBUG_MODE, Toleration.MAA_MANAGED_TCB}
    assert security.maa_certificates == (CERTIFICATE_PEM,)
    assert security.trusted_attesters == (SIGNER,)
    assert security.one_time_password_secret is not None


@pytest.mark.parametrize(
    ("secret", "placeholder"),
    [
        ("{name: o, kind: binary, size: 16}", "o:base32nopad"),
        ("{name: o, kind: binary}", "o:base32nopad"),
        ("{name: o, kind: ascii, value: BASE32SECRET3232BASE32SECRET3232}", "o"),
        ("{name: o, import: {session: b}}", "o:base32nopad"),
        ("{name: o, kind: binary, import: {session: b}}", "o:base32nopad"),
    ],
)
def test_shared_secrets_may_be_secrets(secret: str, placeholder: str) -> None:
    """An ascii one that is base32, or bytes that are made base32."""
    security = f"{{attestation: {{one_time_password_shared_secret: $$SCONE::{placeholder}$$}}}}"
    session = parse(rest=f"secrets: [{secret}]\nsecurity: {security}")
    assert session.security.one_time_password_secret is not None
    # It is filled in when a password is checked, and holds up nothing before.
    assert session.unbound == frozenset()


@pytest.mark.parametrize(
    ("service", "rest", "path", "message"),
    [
        (
            "one_time_password_shared_secret: ABC",
            "",
            "services[0].one_time_password_shared_secret",
            "at least 128 bits",
        ),
        (
            "one_time_password_shared_secret: $$SCONE::o$$",
            "secrets: [{name: o, kind: binary}]",
            "services[0].one_time_password_shared_secret",
            "with :base32nopad",
        ),
        (
            "one_time_password_shared_secret: $$SCONE::o:base32nopad$$",
            "secrets: [{name: o, kind: binary, size: 15}]",
            "services[0].one_time_password_shared_secret",
            "of size 16 or more",
        ),
        (
            "one_time_password_shared_secret: $$SCONE::o$$",
            "secrets: [{name: o, kind: ascii}]",
            "services[0].one_time_password_shared_secret",
            "an ascii secret whose value is base32",
        ),
        (
            "one_time_password_shared_secret: $$SCONE::o$$",
            "",
            "services[0].one_time_password_shared_secret",
            "no secret is named 'o'",
        ),
        ("platforms: [$$SCONE::p$$]", "", "services[0].platforms[0]", "no secret is named 'p'"),
        (
            "platforms: [$$SCONE::p$$]",
            "secrets: [{name: p, kind: binary}]",
            "services[0].platforms[0]",
            "needs a format that is text here",
        ),
        ("", "security: {service_access_token: ''}", "security.service_access_token", "not empty"),
        (
            "",
            "security: {attestation: {url: 'https://example.com'}}",
            "security.attestation.url",
            "https://TENANT.REGION.attest.azure.net",
        ),
        ("persistency: disk", "", "services[0].persistency", "what a service keeps is in its volumes"),
        ("", "board_policy: {minimum: 2}", "board_policy", "require-at-least-N"),
        ("", "board_members: [a]", "board_members", "require-at-least-N"),
        ("", "digest: abc", "digest", "create, or the hash"),
        ("", f"digest: {MEASUREMENT}\npredecessor: {MEASUREMENT}", "", "expected predecessor or"),
        ("", "exports: [{namespace: volume, name: v, export: '*'}]", "exports[0].namespace", "one of service, image"),
        ("", "exports: [{namespace: service, name: v, export: '*'}]", "exports[0].name", "no service is named 'v'"),
    ],
)
def test_each_defect_is_named(service: str, rest: str, path: str, message: str) -> None:
    """One defect gives one issue at its place."""
    issue = only_issue(session_text(service=service, rest=rest))
    assert issue.path == path
    assert message in issue.message


_CREATOR: Final = f"""\
name: scone:blender
digest: create
services:
   - name: blender
     image_name: registry.example.com/images/iexecsgx:blender_python
     mrenclaves: [{MEASUREMENT}]
     tags: [demo]
     pwd: /
     command: blender -b -P /encryptedInputs/application.py
     fspf_path: /usr/fspf.pb
     fspf_key: {KEY}
     fspf_tag: {TAG}
     environment:
        SCONE_NO_MMAP_ACCESS: 1
images:
   - name: registry.example.com/images/iexecsgx:blender_python
     mrenclaves: [{MEASUREMENT}]
     tags: [demo]
     volumes:
        - name: encrypted-input-files
          path: /encryptedInputs
exports:
  - namespace: service
    name: blender
    export: "*"
  - namespace: image
    name: registry.example.com/images/iexecsgx:blender_python
    export: [scone:user, other]
"""

_USER: Final = f"""\
name: scone/user~1
digest: {MEASUREMENT.upper()}
services:
   - name: blender
     import: scone:blender
     image_name: registry.example.com/images/iexecsgx:blender_python
volumes:
   - name: encrypted-input-files
     fspf_tag: {TAG}
     fspf_key: {KEY}
images:
   - name: registry.example.com/images/iexecsgx:blender_python
     import: scone:blender:{MEASUREMENT}
"""


def test_the_creator_of_an_image_in_version_0_1() -> None:
    """Names with colons and slashes, tags, exported services and images, whose volumes their users have."""
    session = parse_session(_CREATOR)
    image = "registry.example.com/images/iexecsgx:blender_python"
    assert (session.name, session.version, session.predecessor) == ("scone:blender", "0.1", None)
    assert session.services[0].tags == session.images[0].tags == ("demo",)
    assert session.images[0].measurements == (_MEASUREMENT,)
    assert session.exports == (
        PartExport(kind="service", name="blender", to=None),
        PartExport(kind="image", name=image, to=SessionReference(name="scone:user")),
        PartExport(kind="image", name=image, to=SessionReference(name="other")),
    )


def test_the_user_of_an_image_in_version_0_1() -> None:
    """A service and an image of another session need nothing of their own; ``digest`` names the predecessor."""
    session = parse_session(_USER)
    assert (session.name, session.predecessor) == ("scone/user~1", MEASUREMENT)
    assert session.services[0].imported == SessionReference(name="scone:blender")
    assert session.images[0].imported == SessionReference(name="scone:blender", digest=MEASUREMENT)
    assert (session.services[0].command, session.services[0].attestation) == ((), ())


def test_colons_are_of_version_0_1() -> None:
    """Later names are made of the unreserved characters of RFC 3986."""
    assert only_issue('name: scone:blender\nversion: "0.2"').path == "name"


def test_a_missing_volume_is_an_error_unless_the_image_is_exported() -> None:
    """Nobody else could have it."""
    text = _CREATOR.replace("  - namespace: image\n", "  - namespace: service\n").replace(
        "name: registry.example.com/images/iexecsgx:blender_python\n    export", "name: blender\n    export"
    )
    assert "no volume is named" in only_issue(text).message


def test_an_image_may_say_which_enclaves_use_it() -> None:
    """In version 0.1, where the service says nothing."""
    images = f"images: [{{name: i, mrenclaves: [{MEASUREMENT}]}}]"
    text = f"name: a\ndigest: create\nservices: [{{name: s, command: r, image_name: i}}]\n{images}"
    assert parse_session(text).services[0].attestation == (AttestationVariant(measurements=(_MEASUREMENT,)),)


def test_what_other_tools_read_back() -> None:
    """Their documents name the creator, and what there is not."""
    text = (
        "version: 0.3.10\nname: a\npredecessor: null\nservices: [{name: s, command: r, persistency: None}]\n"
        "security: {attestation: {mode: none}}\ncreator: |\n  -----BEGIN CERTIFICATE-----\n  x\n"
    )
    session = parse_session(text)
    assert (session.predecessor, session.creator) == (None, "-----BEGIN CERTIFICATE-----\nx\n")
    board = parse_session("name: a\ndigest: create\nboard_members: []\nboard_policy: {minimum: 0, timeout: 30}")
    assert board.warnings == ()


def test_secrets_in_sections_are_noted() -> None:
    """Nothing may be decided by a section before they are put in."""
    session = parse(
        service="platforms: $$SCONE::x$$",
        rest="secrets: [{name: x, import: {session: b}}]\nsecurity: {singleton_enclaves: $$SCONE::x$$}",
    )
    assert session.unbound == {Section.PLATFORMS, Section.SECURITY}
    assert session.services[0].platforms == ()
    assert session.services[0].attestation == (AttestationVariant(measurements=(_MEASUREMENT,)),)


def test_a_service_needs_no_command() -> None:
    """The measured program then runs without arguments, whatever the host says."""
    text = f'name: a\nversion: "0.3"\nservices: [{{name: s, mrenclaves: [{MEASUREMENT}]}}]'
    assert parse_session(text).services[0].command == ()


def test_what_published_sessions_have() -> None:
    """Keys and spellings of public repositories, in their combinations."""
    injected = [f"{{path: /tls/{name}, content: $$SCONE::{name}$$}}" for name in ("redis.crt", "redis.key")]
    injected.append("{path: /tls/ca, content: $$SCONE::session-ca-certificate.chain$$}")
    old = f"""
name: redis
version: "0.2"
services:
  - name: redis
    image_name: maker/redis_api:latest
    command: redis-server --tls-port 6379 --port 0
    mrenclaves: ["{MEASUREMENT}"]
images: [{{name: "maker/redis_api:latest", injection_files: [{", ".join(injected)}]}}]
secrets:
  - {{name: redis, kind: x509}}
  - {{name: client, kind: x509, export: [flask]}}
  - {{name: authority, kind: session-ca, export: [flask]}}
"""
    session = parse_session(old)
    assert [(spec.name, str(spec.kind)) for spec in session.secrets][-1] == ("session-ca-certificate", "session-ca")
    first = f"""
name: anonymise
digest: create
predecessor: null
services:
  - name: anonymise
    image_name: anonymise
    mrenclaves: [{MEASUREMENT}]
    command: python2.7 -B anonymise.py -o /mnt/output/images
    pwd: /app
    tags: [default]
images: [{{name: anonymise, mrenclaves: [{MEASUREMENT}], tags: [default]}}]
"""
    assert parse_session(first).predecessor is None
    odd = """
name: a/b
version: "0.3"
services:
    - name: sign
      command: cosign sign --key /root/cosign_keys/cosign.key @@1
      environment:
        GOFLAGS:"-buildmode: pie"
        PATH: /go/bin:/usr/local/go/bin
        SCONE_HEAP: 1G
security: {attestation: {mode: none, tolerate: ["*"], ignore_advisories: ["*"]}}
"""
    assert only_issue(odd).path == "security.attestation.tolerate[0]"
    assert parse_session(odd.replace('tolerate: ["*"], ', "")).security.ignored_advisories is None


def test_later_sessions_have_no_certificate_of_their_own() -> None:
    """What is not defined is a slip there."""
    rest = "images: [{name: i, injection_files: [{path: /a, content: $$SCONE::session-ca-certificate.crt$$}]}]"
    assert "no secret is named 'session-ca-certificate'" in only_issue(session_text(rest=rest)).message


def test_what_a_service_shows_others() -> None:
    """Paths, audience, and lifetimes in the words of the language; each has one where nothing is said."""
    token = "attestation_token: {path: /run/token, audience: https://rp.example}"
    (service,) = parse(service=f"{token}\nra_tls: {{certificate: /c, private_key: /k}}").services
    assert service.attestation_token == TokenFile(path="/run/token", audience="https://rp.example", lifetime=3600)
    assert service.ra_tls == RaTlsFiles(certificate="/c", private_key="/k", lifetime=86400)
    (service,) = parse(service=token.replace("}", ", lifetime: 30 minutes}")).services
    assert service.attestation_token is not None
    assert service.attestation_token.lifetime == 1800
    assert service.ra_tls is None


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("attestation_token: {path: /t}", "audience"),
        ("attestation_token: {path: /t, audience: a b}", "whom the token is for"),
        ("attestation_token: {path: t, audience: a}", "path"),
        ("attestation_token: {path: /t, audience: a, lifetime: 30s}", "from 1 minute to 1 day"),
        ("attestation_token: {path: /t, audience: a, lifetime: 2 days}", "from 1 minute to 1 day"),
        ("ra_tls: {certificate: /c}", "private_key"),
        ("ra_tls: {certificate: /c, private_key: /c}", "expected another path for private_key"),
        ("ra_tls: {cert: /c, private_key: /k}", "certificate"),
    ],
)
def test_what_cannot_be_shown_is_refused(shown: str, told: str) -> None:
    """With what was expected."""
    issues = issues_of(session_text(service=shown))
    assert any(told in f"{issue.path} {issue.message} {issue.hint}" for issue in issues), issues


@pytest.mark.parametrize(
    ("shown", "path"),
    [
        ("attestation_token: {path: /data, audience: a}", "services[0].attestation_token.path"),
        ("ra_tls: {certificate: /etc/app, private_key: /k}", "services[0].ra_tls.certificate"),
        (
            "attestation_token: {path: /k, audience: a}\nra_tls: {certificate: /c, private_key: /k}",
            "services[0].ra_tls.private_key",
        ),
    ],
)
def test_two_things_at_one_path_are_refused(shown: str, path: str) -> None:
    """What the runtime makes, and what the image has there."""
    rest = """
    images: [{name: image, volumes: [{name: data, path: /data}], injection_files: [/etc/app]}, {name: other}]
    volumes: [{name: data}]
    """
    rest = rest.replace("[/etc/app]", "[{path: /etc/app}]")
    issue = only_issue(session_text(service=f"image_name: image\n{shown}", rest=rest))
    assert (issue.path, issue.message) == (path, "something is at this path already")
