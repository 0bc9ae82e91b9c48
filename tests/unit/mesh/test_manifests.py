"""Reading of manifests: what users write is understood, and every slip is told at its place."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.errors import ManifestSyntaxError
from bannock.mesh.manifests import MeshManifest, ServiceManifest, parse_manifest, parse_mesh, parse_service
from bannock.mesh.manifests.model import BuildKind, UploadMode
from bannock.mesh.manifests.parse import parse_secrets
from bannock.policy.session import Toleration
from tests.unit.mesh.manifests import MESH, SERVICE


def _service(old: str = "", new: str = "") -> ServiceManifest:
    assert not old or old in SERVICE
    return parse_service(SERVICE.replace(old, new))


def _refused(old: str, new: str, *, text: str = SERVICE) -> list[str]:
    assert old in text
    with pytest.raises(ManifestSyntaxError) as refused:
        parse_manifest(text.replace(old, new))
    return list(refused.value.reasons)


def test_kind_decides_what_a_manifest_is() -> None:
    """One reader takes both."""
    assert isinstance(parse_manifest(SERVICE), ServiceManifest)
    assert isinstance(parse_manifest(MESH), MeshManifest)


def test_values_of_variables_are_text_whatever_they_look_like() -> None:
    """Numbers stay as they are written, quotation marks protect what YAML would take away."""
    local = {variable.name: variable.value for variable in _service().environment.local}
    assert local == {
        "SCONE_HEAP": "760M",
        "SCONE_ALLOW_DLOPEN": "1",
        "API_PASSWORD": "$$SCONE::password$$",
        "EXCLAIM": "!#what!$#",
        "NOTE": "$$SCONE::note$$",
        "PLACE": "{{HOST}}:{{PORT}}",
    }


def test_variables_with_and_without_defaults() -> None:
    """No value is none, and an empty one in quotation marks is a value."""
    environment = _service().environment
    assert environment.required == ("API_USER",)
    assert environment.defaults == {"GREETING": "hello", "NOTHING": ""}


def test_build_section() -> None:
    """What an image is made of."""
    build = _service().build
    assert (build.kind, build.pwd, build.requirements) == (BuildKind.PYTHON, "/python", "requirements.txt")
    assert build.copy == ("print_env.py",)
    assert build.run == ('echo "one command" && echo "of two lines"\n', 'echo "another"')
    assert build.signature.sign
    assert build.signature.key is None


def test_secrets_of_several_lines_and_special_characters() -> None:
    """A secret is kept as a session has it, and shows its value nowhere."""
    manifest = _service()
    password, note = manifest.secrets.global_
    assert password.entry == {"name": "password", "kind": "ascii", "size": "10"}
    assert note.entry["value"] == '    of several lines\n with $, # and "\n\n'
    assert manifest.secrets.import_ == ("OTHER_CERTIFICATE",)
    assert "of several lines" not in repr(manifest)
    assert "760M" not in repr(manifest)


def test_values_of_a_mesh_are_shared_and_overridden() -> None:
    """A service counts before helm, and helm before all."""
    mesh = parse_mesh(MESH)
    assert mesh.values("first") == {
        "API_USER": "me",
        "PORT": "444",
        "imagePullSecrets": "registry",
        "LATE": "yes",
    }
    assert mesh.values("other")["API_USER"] == "everybody"
    assert [service.name for service in mesh.services] == ["first", "other"]


def test_policy_and_cas_of_a_mesh() -> None:
    """Lists may be written with commas, nothing is nothing, roles find their CAS."""
    mesh = parse_mesh(MESH)
    assert mesh.policy.tolerate == (Toleration.OUTDATED_TCB, Toleration.HYPERTHREADING, Toleration.DEBUG_MODE)
    assert mesh.policy.ignore_advisories == ("*",)
    assert mesh.cas_for("image") is mesh.cas[0]
    assert mesh.cas[0].cas_key is None
    assert mesh.cas[0].mode is UploadMode.ENCRYPTED_MANIFEST


def test_session_encryption_key_in_one_line() -> None:
    """The key is a PEM, and shells put the base64 of it into manifests."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    line = base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    mesh = parse_mesh(MESH.replace("    cas_key:\n", f"    cas_encryption_key: {line}\n"))
    assert mesh.cas[0].cas_encryption_key == key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert "kubectl provision" in _refused("    cas_key:\n", "    cas_encryption_key: 7b21\n", text=MESH)[0]


def test_every_issue_is_told_at_once_and_at_its_place() -> None:
    """Three slips, three lines, with what was probably meant."""
    text = SERVICE.replace("apiVersion: scone/5.8", "apiVersion: scone/5.7")
    text = text.replace("    kind: ascii\n    size: 10", "    kind: asci\n    size: 10").replace(
        "  requirements:", "  requiremets:"
    )
    with pytest.raises(ManifestSyntaxError) as refused:
        parse_manifest(text)
    version, kind, requirements = refused.value.issues
    assert (version.line, version.path) == (1, "apiVersion")
    assert (kind.line, kind.path, kind.hint) == (28, "secrets.global[0].kind", "did you mean ascii?")
    assert (requirements.path, requirements.hint) == ("build.requiremets", "did you mean requirements?")
    assert str(refused.value) == "the manifest has 3 issues"
    assert refused.value.exit_code == 4


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kind: python", "kind: pythom", "build.kind: expected one of python, node, java"),
        ("registry.example.com/demo/hello:1", "$REPO/hello:1", "envsubst"),
        ("registry.example.com/demo/hello:1", "r.example/x@sha256:" + "0" * 64, "stored under a tag"),
        ("command: python3 print_env.py", "command: python3 'x", "no closing quotation"),
        ("    - print_env.py", "    - ../print_env.py", "below the current directory"),
        ("    - print_env.py", "    - /etc/passwd", "below the current directory"),
        ("pwd: /python", "pwd: python", "build.pwd: expected an absolute path, found 'python' at line 49 column 8"),
        ("$$SCONE::password$$", "$$SCONE::pasword$$", "no secret is named 'pasword'"),
        ("$$SCONE::password$$", "$$SCONE::password", "environment: API_PASSWORD"),
        ("    size: 10", "    size: ten", "secrets.global[0].size: expected a whole number, found 'ten'"),
        ("    size: 10", "    length: 10", "unknown key 'length'"),
        ("  - name: note", "  - name: password", "password"),
        ("    - name: GREETING", "    - name: NOTE", "there is a variable NOTE already, at environment.local[4]"),
        ("    - name: GREETING", "    - name: A-B", "expected the name of a variable"),
        ("  kind: python", "  kind: node", "requirements are of python"),
        ("  kind: python", "  kind: image", "needs from"),
        ("  pwd: /python", "  binaries: [/a, /b]", "make an image of each"),
        ("  name: python-hello-user\n", "", "build: name is missing at line 46 column 3"),
        ("apiVersion: scone/5.8\n", "apiVersion:\n", "apiVersion is empty"),
        ("environment:", "enviroment:", "did you mean environment?"),
        ("environment:", "env:", "did you mean environment?"),
        ("  pwd: /python", "  pwd: /python\n  pwd: /other", "occurs twice"),
        ("    - print_env.py", "    - {a: b}", "expected a path below the current directory, found a mapping"),
        ("    sign: true", "    sign: maybe", "expected true or false, found 'maybe'"),
    ],
)
def test_slips_in_a_service(old: str, new: str, told: str) -> None:
    """Each is refused in words that say where and what."""
    reasons = _refused(old, new)
    assert any(told in reason for reason in reasons), reasons


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("outdated-tcb, ", "outdated-tbc, ", "did you mean outdated-tcb?"),
        ("mode: EncryptedManifest", "mode: EncryptedManifests", "did you mean EncryptedManifest?"),
        ("  - service: first", "  - service: frist", "there is no service 'frist'"),
        ("  - image: registry.example.com/demo/other:2", "  - image: x/first:1", "there is a service first already"),
        ("name: first\n    image", "name: helm\n    image", "means all services"),
        ("cas_url: cas.scone-system", "cas_url: http://cas", "expected the address of a CAS"),
        ("    cas_key:\n", "    cas_key: abc\n", "a key hash is 50 characters"),
        ("namespace: demo-1/apps", "namespace: demo 1", "expected a namespace"),
        ("image_secrets: secrets.yaml", "image_secrets: ../secrets.yaml", "below the current directory"),
        ("kind: mesh", "kind: mash", "did you mean mesh?"),
        ("kind: mesh\n", "", "kind is missing"),
        ("services:", "servces:", "did you mean services?"),
        ('["image", "security"]', '["image", "image"]', "there is a CAS image already"),
    ],
)
def test_slips_in_a_mesh(old: str, new: str, told: str) -> None:
    """Each is refused in words that say where and what."""
    reasons = _refused(old, new, text=MESH)
    assert any(told in reason for reason in reasons), reasons


@pytest.mark.parametrize(
    "text", ["", "- a", "a: !!python/object x", "a: &a [*a]", "a: b\n---\nc: d", "[" * 60, "a: \x00", "? [a]\n: b"]
)
def test_what_is_no_manifest_is_refused_by_name(text: str) -> None:
    """Nothing but our own error comes of any text."""
    with pytest.raises(ManifestSyntaxError):
        parse_manifest(text)


def test_secrets_that_mesh_values_complete() -> None:
    """A size that the mesh gives is no slip of the service."""
    assert _service("size: 10", "size: {{LENGTH}}").secrets.global_[0].entry["size"] == "{{LENGTH}}"


def test_file_of_secrets() -> None:
    """Braces need no quotation marks there, and slips are told."""
    text = "- name: a\n  kind: ascii\n  export:\n    - namespace: {{namespace}}\n"
    assert parse_secrets(text)[0].entry["export"] == [{"namespace": "{{namespace}}"}]
    with pytest.raises(ManifestSyntaxError, match="the file of secrets has 1 issue") as refused:
        parse_secrets(text.replace("ascii", "asci"))
    assert "did you mean ascii?" in refused.value.reasons[0]


@pytest.mark.parametrize(
    ("field", "instead"),
    [
        ("dirs: [/data]", "secrets, injection_files and volumes"),
        ("stable: hello:0", "--rolling"),
        ("gen_policy: {policy: policy.yaml}", "image_policy"),
    ],
)
def test_what_is_not_taken_is_refused(field: str, instead: str) -> None:
    """It is told with what takes its place, and never passed over."""
    [reason] = _refused("  pwd: /python\n", f"  pwd: /python\n  {field}\n")
    assert instead in reason
    assert reason.startswith(f"build.{field.partition(':')[0]}:")
