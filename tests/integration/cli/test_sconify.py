"""``sconify_image`` and ``sconify_iexec``: options, the session at a CAS, and what they print."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bannock.cli import sconify_iexec, sconify_image
from bannock.cli.sconify_options import parse
from bannock.errors import ConflictError, InputError
from bannock.images.blobs import Scratch
from bannock.images.digests import digest_of
from bannock.images.places import Places
from bannock.images.tar_layer import BuiltLayer
from bannock.policy.parse import parse_session
from bannock.policy.session import AttestationMode
from tests.unit.images.build import tar
from tests.unit.images.sconify.native import PROGRAM, native

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.cas import EmbeddedCas
    from tests.integration.cli.conftest import Scone

_SECRETS = "secrets:\n    - name: key\n      kind: private-key\n"
_FILES = 'injection_files:\n        - path: "/tls/key"\n          content: $$SCONE::key$$\n'


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that stands for the runtime's, which takes seconds to make."""
    data = tar({"opt/bannock/bin/launch": b"#!"})
    packed = gzip.compress(data, mtime=0)
    path = tmp_path / "runtime.tar.gz"
    path.write_bytes(packed)
    layer = BuiltLayer(
        path=path, digest=digest_of(packed), size=len(packed), diff_id=digest_of(data), unpacked=len(data)
    )  # fmt: skip
    monkeypatch.setattr(sconify_image, "cached_layer", lambda: layer)
    for name in ("SCONE_CAS_ADDR", "SCONE_MODE", "SECRETS", "INJECTED_FILES", "SCONE_HEAP", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """The options that name a native image, its program, and the image to make."""
    with Scratch(tmp_path / "scratch") as scratch, Places.prepared(cache=tmp_path / "places") as places:
        places.store(native(scratch), f"oci:{tmp_path / 'native'}:1")
    return [f"--from=oci:{tmp_path / 'native'}:1", f"--to=oci:{tmp_path / 'made'}:1", f"--binary={PROGRAM}"]


def _of(cas: EmbeddedCas) -> list[str]:
    return [f"--cas={cas.client_address}", "--disable-attestation"]


def test_the_sessions_name_is_all_that_is_printed(
    scone: Scone,
    cas: EmbeddedCas,
    images: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The namespace is created, the session is in it with the parts of the user, and no secret is told."""
    monkeypatch.setenv("SECRETS", _SECRETS)
    monkeypatch.setenv("INJECTED_FILES", _FILES)
    code = sconify_image.main(
        [*images, *_of(cas), "--dir=/app", "--namespace=ns", "--create-namespace", "--name=flask", "-v"]
    )
    told = capsys.readouterr()
    assert (code, told.out) == (0, "ns/flask\n")
    stored = scone.done("session", "read", "ns/flask", "--cas", str(cas.client_address), _NOT_ATTESTED)
    session = parse_session(stored, variables=None)
    assert [secret.name for secret in session.secrets] == ["key"]
    assert [file.path for file in session.images[0].files] == ["/tls/key"]
    document: Any = session.document
    key = document["services"][0]["fspf_key"]
    for secret in (key, "hunter-22-canary"):
        assert secret in stored
        assert secret not in told.err


_NOT_ATTESTED = "--only_for_testing-disable-attestation-verification"


def test_a_session_is_replaced_where_it_differs(
    scone: Scone, cas: EmbeddedCas, images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same image twice leaves the session as it is; another one replaces it, unless that is switched off."""
    words = [*images, *_of(cas), "--dir=/app", "--name=flask"]
    read = ("session", "read", "flask", "--cas", str(cas.client_address), _NOT_ATTESTED)
    sconify_image.main(words)
    first = scone.done(*read)
    sconify_image.main(words)
    assert scone.done(*read) == first
    sconify_image.main([*words, "--heap=2G"])
    assert scone.done(*read) != first
    with pytest.raises(ConflictError):
        sconify_image.main([*words, "--heap=3G", "--disable-update-session-if-exists"])
    capsys.readouterr()


def test_iexec_keeps_the_session_to_itself(
    scone: Scone, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is uploaded; the session is in a file that nobody else can read."""
    assert scone is not None
    path = tmp_path / "session.yml"
    sconify_iexec.main([*images, "--dir=/app", "--name=x", f"--session={path}", "--no-color", "--cli=y"])
    assert capsys.readouterr().out == "x\n"
    assert path.stat().st_mode & 0o077 == 0
    assert parse_session(path.read_text(), variables=None).name == "x"


def test_an_encrypted_image_without_upload_has_its_key_somewhere(
    scone: Scone, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a place for the session named, it is written where the command runs."""
    assert scone is not None
    sconify_image.main([*images, "--dir=/app", "--namespace=n", "--name=x", "--disable-session-upload"])
    assert (tmp_path / "home" / "n-x-session.yml").is_file()
    assert "n-x-session.yml" in capsys.readouterr().err


def test_dry_run_makes_nothing(
    scone: Scone, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It tells what would be encrypted."""
    assert scone is not None
    assert sconify_image.main([*images, "--dir=/app", "--dry-run"]) == 0
    told = capsys.readouterr()
    assert (told.out, "/app" in told.err) == ("", True)
    assert not (tmp_path / "made").exists()


def test_settings_have_the_defaults_of_the_reference(
    scone: Scone,
    images: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Options go before the environment, and that before the defaults."""
    assert scone is not None
    monkeypatch.setenv("SCONE_HEAP", "3G")
    monkeypatch.setenv("SCONE_STACK", "4M")
    sconify_image.main(
        [*images, "--disable-session-upload", "--stack=8M", "--las=las:1", "--cas=cas.example.com:8081"]
    )
    capsys.readouterr()
    with Places.prepared(cache=tmp_path / "places") as places:
        environment = dict(places.open(f"oci:{tmp_path / 'made'}:1").config.env)
    assert environment["SCONE_HEAP"] == "3G"
    assert environment["SCONE_STACK"] == "8M"
    assert environment["SCONE_ALLOW_DLOPEN"] == "1"
    assert environment["SCONE_CAS_ADDR"] == "cas.example.com"
    assert environment["SCONE_LAS_ADDR"] == "las:1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--binary-fs", "--dir=/app"], "binary-fs measures a root"),
        (["--fs-dir=/app"], "add --binary-fs"),
        (["--dir=app"], "absolute path"),
        (["--create-namespace"], "--create-namespace needs"),
        (["--heap=much"], "SCONE_HEAP"),
        (["--command= "], "--command is empty"),
        (["--command='"], "cannot be split"),
        (["--env=X"], "NAME=VALUE"),
        (["--k8s-helm-workload-type=cronjob"], "is one of deployment"),
        (["--k8s-helm-workload-type=job"], "a cluster cannot pull oci:"),
        (["--k8s-helm-expose=80"], "add --k8s-helm-workload-type"),
        (
            ["--azure-attestation=https://a.b.attest.azure.net", "--disable-session-security-attestation"],
            "switches it",
        ),
        (["--azure-attestation=https://elsewhere.example.com"], "attest.azure.net"),
        (["--sconefile=/nowhere"], "nowhere"),
    ],
)
def test_what_does_not_go_together(scone: Scone, images: list[str], words: list[str], message: str) -> None:
    """Each is an error of the user's, before anything is read."""
    assert scone is not None
    with pytest.raises(InputError) as caught:
        sconify_image.main([*images, *words])
    assert message in f"{caught.value} {caught.value.__cause__} {caught.value.reasons} {caught.value.hint}"


def test_azures_attestation(
    scone: Scone, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The session has the provider, and accepts that it judges the TCB alone."""
    assert scone is not None
    path, url = tmp_path / "session.yml", "https://shared.weu.attest.azure.net"
    sconify_iexec.main([*images, "--dir=/app", "--name=x", f"--session={path}", f"--azure-attestation={url}"])
    capsys.readouterr()
    security = parse_session(path.read_text(), variables=None).security
    assert security.mode is AttestationMode.MAA
    assert security.maa_url == url


def test_a_file_of_options(
    scone: Scone, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command line as a file asks for the same again; what stands on the command line besides counts more."""
    assert scone is not None
    words = [
        "--dir=/app",
        "--name=flask",
        "--namespace=ns",
        "--create-namespace",
        "--env=A=b c",
        "--env=D=",
        "--heap=2G",
    ]
    assert sconify_image.main([*images, *words, "--generate-sconefile"]) == 0
    text = capsys.readouterr().out
    document = yaml.safe_load(text)
    assert document["from"] == images[0].partition("=")[2]
    assert document["policy"] == {"name": "flask", "namespace": {"name": "ns", "create": True}}
    assert document["env"] == ["A=b c", "D="]
    assert not (tmp_path / "made").exists()
    path = tmp_path / "Sconefile"
    path.write_text(text)
    assert sconify_image.main([f"--sconefile={path}", "--generate-sconefile"]) == 0
    assert capsys.readouterr().out == text
    parsed = parse("sconify_image", ["--sconefile", str(path), "--heap=3G", "--dir=/more"], {}, iexec=False)
    assert parsed.options.settings["SCONE_HEAP"] == "3G"
    assert parsed.options.places.directories == ("/app", "/more")
    for wrong, message in (("- a", "no options"), ("policy: {nam: x}", "policy.nam"), ("a: [", "is not YAML")):
        path.write_text(wrong)
        with pytest.raises(InputError, match=message):
            parse("sconify_image", [f"--sconefile={path}"], {}, iexec=False)


def test_a_chart(
    scone: Scone,
    images: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The chart is in the directory that was named: for the image, its session and its volumes."""
    assert scone is not None
    stored: list[str] = []
    monkeypatch.setattr(Places, "store", lambda _places, _image, reference: stored.append(reference))
    target = ["--to=registry.example.com/flask:1", "--service-name=My-Flask", "--name=flask", "--namespace=ns"]
    chart = [
        "--k8s-helm-workload-type=deployment", f"--k8s-helm-output-dir={tmp_path / 'charts'}", "--k8s-helm-expose=80",
        "--k8s-helm-volume=cache:/cache", "--k8s-helm-set=replicaCount=3", "--volume=data:/data",
    ]  # fmt: skip
    words = [images[0], images[2], *target, *chart, "--dir=/app", "--cas=cas.example.com", "--disable-session-upload"]
    assert sconify_image.main([*words, "--push-image"]) == 0
    told = capsys.readouterr()
    assert told.out == "ns/flask\n"
    assert "helm install" in told.err
    assert "push it" not in told.err
    assert stored == ["registry.example.com/flask:1", "docker://registry.example.com/flask:1"]
    values = yaml.safe_load((tmp_path / "charts" / "my-flask" / "values.yaml").read_text())
    assert values["scone"]["configId"] == "ns/flask/My-Flask"
    assert values["image"] == "registry.example.com/flask:1"
    assert values["replicaCount"] == 3
    assert values["service"] == {"enabled": True, "type": "ClusterIP", "ports": [80]}
    assert {name: volume["mountPath"] for name, volume in values["volumes"].items()} == {
        "data": "/data", "cache": "/cache",
    }  # fmt: skip
    assert sconify_image.main(words) == 0
    assert "push it" in capsys.readouterr().err
