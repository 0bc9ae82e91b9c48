"""``kubectl provision`` with a real CAS; the cluster is two stand-ins, which keep what they are asked.

That of kubectl forwards no port but names the CAS's own; that of helm has the real one render the chart.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from bannock.cli import kubectl_provision
from bannock.errors import DeniedError, EnvironmentFault, InputError, NotFoundError, PeerError
from bannock.kubernetes.cas_release import image_name, with_version
from tests.integration.cli.conftest import Answer

if TYPE_CHECKING:
    from bannock.cas import EmbeddedCas
    from tests.integration.cli.conftest import Scone

_REAL = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
_HELM = shutil.which("helm", path=_REAL)
_KUBECTL = shutil.which("kubectl", path=_REAL)
_DEBUG = "--set-tolerations=--only_for_testing-debug"

#: Both stand-ins: what the cluster has is in one file, and every call goes to another one.
_STAND_IN = """\
#!{python} -IS
import json, pathlib, subprocess, sys, time
state = pathlib.Path({state!r})
cluster = json.loads(state.read_text())
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
with open({calls!r}, "a") as calls:
    calls.write(json.dumps([name, *words]) + "\\n")
def sets():
    return [words[at + 1] for at, word in enumerate(words) if word == "--set"]
if name == "helm" and words[0] == "upgrade":
    if {helm!r}:
        options = [word for each in sets() for word in ("--set", each)]
        subprocess.run([{helm!r}, "template", words[2], words[3], *options], check=True, stdout=subprocess.DEVNULL)
    if cluster.get("broken"):
        sys.exit("Error: context deadline exceeded")
    cluster["service"] = words[2]
    cluster["values"] = dict(each.split("=", 1) for each in sets())
    state.write_text(json.dumps(cluster))
elif name == "helm" and words[0] == "get":
    print(json.dumps(cluster["values"]))
elif name == "helm" and words[0] == "rollback":
    pass
elif words[:2] == ["get", "namespace"]:
    print("namespace/" + words[2] if words[2] in cluster["namespaces"] else "")
elif words[:2] == ["get", "service"]:
    print("service/" + words[2] if words[2] == cluster.get("service") else "")
elif words[0] == "logs":
    print("  no owner yet; provisioning token " + cluster["token"])
elif words[0] == "port-forward":
    if not cluster.get("port"):
        sys.exit("error: unable to forward port because pod is not running")
    print("Forwarding from 127.0.0.1:%d -> 8081" % cluster["port"], flush=True)
    time.sleep(60)
elif words[0] == "rollout":
    pass
else:
    sys.exit("what is this? " + " ".join(words))
"""


@dataclass
class Site:
    """A cluster, and the plugin that is used on it."""

    scone: Scone
    state: Path
    calls_file: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Answer:
        """Run ``kubectl provision``, whatever comes of it."""
        self.capsys.readouterr()
        code = kubectl_provision.COMMAND.run(arguments)
        told = self.capsys.readouterr()
        return Answer(code=code, out=told.out, err=told.err)

    def done(self, *arguments: str) -> Answer:
        """Run it where it has to succeed."""
        answer = self(*arguments)
        assert answer.code == 0, answer.err
        return answer

    def has(self, **values: Any) -> None:
        """Change what the cluster has."""
        self.state.write_text(json.dumps({**json.loads(self.state.read_text()), **values}))

    def calls(self, *words: str) -> list[list[str]]:
        """Give the calls of the stand-ins that begin like this."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [call for call in map(json.loads, lines) if tuple(call[: len(words)]) == words]


@pytest.fixture
def site(
    scone: Scone, cas: EmbeddedCas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Site:
    """Give a cluster in which the CAS serves once it is installed."""
    programs = tmp_path / "programs"
    programs.mkdir()
    made = Site(scone, tmp_path / "cluster.json", tmp_path / "calls", capsys)
    text = _STAND_IN.format(python=sys.executable, state=str(made.state), calls=str(made.calls_file), helm=_HELM)
    for name in ("kubectl", "helm"):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    made.state.write_text(
        json.dumps({"namespaces": ["scone-system"], "token": cas.cas.owner.token, "port": cas.client_address.port})
    )
    monkeypatch.setenv("PATH", str(programs))
    for variable in ("SGX_TOLERATIONS", "VERSION", "SCONECTL_REPO", "BANNOCK_CAS"):
        monkeypatch.delenv(variable, raising=False)
    return made


def test_from_nothing_to_a_cas_with_an_owner(site: Site, cas: EmbeddedCas) -> None:
    """Installed with a volume, attested, claimed by its console's token, remembered; a second time does no harm."""
    words = ("cas", "mycas", "-n", "scone-system", _DEBUG)
    assert site(*words[:4], "--is-provisioned").code == NotFoundError.exit_code
    told = site.done(*words, "-v", "--image-registry=reg.example.com/x", "--set-version=1.2", "--set=replicas=1")
    owner = site.scone.done("self", "show-key-hash").strip()
    assert f"the CAS mycas.scone-system was provisioned; its owner is {owner}" in told.err
    assert told.out == ""
    (install,) = site.calls("helm", "upgrade")
    for setting in ("persistence.enabled=true", "fullnameOverride=mycas", "image=reg.example.com/x/bannock-cas:1.2"):
        assert setting in install
    record = cas.cas.owner.record
    assert record is not None
    assert str(record.key_hash) == owner
    assert 'common_name = "mycas"' in record.text
    token = cas.cas.owner.token
    assert token is None or token not in told.err
    state = Path.home() / ".cas" / "config.json"
    assert "mycas.scone-system" in json.loads(state.read_text())["cas"]
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    again = site.done(*words)
    assert "is provisioned already" in again.err
    assert "--reuse-values" in site.calls("helm", "upgrade")[1]


def test_keys_for_a_shell(site: Site, cas: EmbeddedCas) -> None:
    """What is printed is three commands of a shell, and the keys are those of the CAS."""
    site.has(service="cas")
    told = site.done("cas", "-n", "scone-system", "--print-public-keys", _DEBUG)
    script = f'{told.out}\nprintf \'%s\\n\' "$CAS_KEY" "$CAS_SOFTWARE_KEY" "$CAS_SESSION_ENCRYPTION_KEY"'
    shell = subprocess.run(["/bin/sh", "-euc", script], capture_output=True, text=True, check=True, timeout=10)
    key, software, encryption = shell.stdout.splitlines()
    assert key == str(cas.key_hash)
    assert software == site.scone.done("cas", "show-identification", "cas.scone-system", "-s").strip()
    load_der_public_key(b64decode(encryption, validate=True))
    assert len(told.out.splitlines()) == 3


def test_is_provisioned(site: Site) -> None:
    """The exit code says it; whoever may not be trusted is not asked."""
    site.has(service="cas")
    answer = site("cas", "-n", "scone-system", "--is-provisioned", _DEBUG)
    assert answer.code == DeniedError.exit_code
    assert "nobody owns the CAS cas.scone-system yet" in answer.err
    answer = site("cas", "-n", "scone-system", "--is-provisioned")
    assert answer.code == DeniedError.exit_code
    assert "simulation" in answer.err
    site.done("cas", "-n", "scone-system", _DEBUG)
    site.done("cas", "-n", "scone-system", "--is-provisioned", _DEBUG)


def test_tolerations_of_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts set SGX_TOLERATIONS; slips in it are told as those of `scone cas attest` are."""
    site.has(service="cas")
    monkeypatch.setenv("SGX_TOLERATIONS", "-GCS --only_for_testing-debug")
    assert "is trustworthy" in site.done("cas", "-n", "scone-system", "--verify").err
    monkeypatch.setenv("SGX_TOLERATIONS", "'")
    answer = site("cas", "-n", "scone-system", "--verify")
    assert answer.code == InputError.exit_code
    assert "--set-tolerations" in answer.err


def test_a_cas_that_was_replaced_is_found_out(site: Site, cas: EmbeddedCas, tmp_path: Path) -> None:
    """Who was attested by a name stays who it is: keys of another CAS are not printed."""
    site.has(service="cas")
    site.done("cas", "-n", "scone-system", "--verify", _DEBUG)
    with type(cas)(tmp_path / "other") as other:
        site.has(port=other.client_address.port)
        answer = site("cas", "-n", "scone-system", "--print-public-keys", _DEBUG)
    assert answer.code == PeerError.exit_code
    assert answer.out == ""


def test_upgrade(site: Site, cas: EmbeddedCas, tmp_path: Path) -> None:
    """Another image on the same data; if it does not come up, or is another CAS, the one before is started again."""
    words = ("cas", "-n", "scone-system", _DEBUG)
    site.has(service="cas", values={"image": "reg:5000/bannock-cas:1"})
    answer = site(*words, "--upgrade", "2")
    assert answer.code == InputError.exit_code
    assert "has not been attested" in answer.err
    site.done(*words, "--verify")
    site.done(*words, "--upgrade", "2")
    assert "image=reg:5000/bannock-cas:2" in site.calls("helm", "upgrade")[-1]
    assert not site.calls("helm", "rollback")
    site.has(broken=True)
    answer = site(*words, "--upgrade", "3")
    assert answer.code == EnvironmentFault.exit_code
    assert "reg:5000/bannock-cas:2 runs again" in answer.err
    assert "useSGXDevPlugin" in answer.err
    assert len(site.calls("helm", "rollback")) == 1
    with type(cas)(tmp_path / "other") as other:
        site.has(broken=False, port=other.client_address.port)
        assert site(*words, "--upgrade", "4").code == PeerError.exit_code
    assert len(site.calls("helm", "rollback")) == 2


def test_configuration_by_the_owner(site: Site, cas: EmbeddedCas, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are replaced, and one that is not set is named before anything is installed."""
    words = ("cas", "-n", "scone-system", _DEBUG, "--owner-config=owner.toml")
    Path("owner.toml").write_text('[api_identity]\ncommon_name = "$NAME-$WHO"\n')
    answer = site(*words)
    assert answer.code == InputError.exit_code
    assert "$WHO" in answer.err
    monkeypatch.setenv("WHO", "us")
    site.done(*words)
    record = cas.cas.owner.record
    assert record is not None
    assert "cas-us" in record.text


def test_what_is_missing_is_named(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A namespace, a pod, a program; and what there is not at all."""
    assert "there is no namespace elsewhere" in site("cas", "-n", "elsewhere", _DEBUG).err
    assert not site.calls("helm")
    site.has(service="cas", port=0)
    answer = site("cas", "-n", "scone-system", "--verify", _DEBUG)
    assert answer.code == EnvironmentFault.exit_code
    assert "unable to forward port" in answer.err
    assert "vault cannot be provisioned" in site("vault").err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no program kubectl" in site("cas", "--wait").err


def test_a_cas_that_is_reached_directly(site: Site, cas: EmbeddedCas, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the CAS has an address of its own, neither kubectl nor helm are used."""
    monkeypatch.setenv("BANNOCK_CAS", f"localhost:{cas.client_address.port}")
    assert str(cas.key_hash) in site.done("cas", "-n", "scone-system", "--print-public-keys", _DEBUG).out
    assert not site.calls()


@pytest.mark.skipif(_KUBECTL is None, reason="kubectl is not installed")
def test_kubectl_finds_the_plugin(tmp_path: Path) -> None:
    """`kubectl provision` is our program, with its words and its exit code."""
    assert _KUBECTL is not None
    plugin = tmp_path / "kubectl-provision"
    plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -m bannock.cli.kubectl_provision "$@"\n')
    plugin.chmod(0o755)
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [_KUBECTL, "provision", "vault"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == InputError.exit_code
    assert "vault cannot be provisioned" in done.stderr


def test_names_of_images() -> None:
    """Registries may have ports, and images digests."""
    assert image_name("", None) == "bannock-cas"
    assert image_name("reg:5000/x/", "1") == "reg:5000/x/bannock-cas:1"
    assert with_version("reg:5000/cas", "2") == "reg:5000/cas:2"
    assert with_version("reg:5000/cas:1@sha256:00", "2") == "reg:5000/cas:2"
    assert with_version("cas", "2") == "cas:2"
