"""The charts of CAS, LAS and the device plugin, read by the real helm and by the schemas of Kubernetes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from bannock.cas.config import load_config
from bannock.charts.services import DEVICES, SERVICES, generated, parameters_of, service_chart
from bannock.errors import NotFoundError
from bannock.kubernetes.device_plugin.resources import RESOURCES

kubernetes_validate = pytest.importorskip("kubernetes_validate")

_CHARTS = Path(__file__).parents[3] / "charts"
_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
_HELM = shutil.which("helm", path=_PATH)
_VERSIONS = ("1.30", "1.35")
_POSTGRESQL = (
    "postgresql.url=postgresql://cas@db/cas?sslmode=verify-full", "postgresql.passwordSecret=database",
    "masterKey.secret=keys", "replicas=3",
)  # fmt: skip

needs_helm = pytest.mark.skipif(_HELM is None, reason="helm is not installed")


def _helm(*words: str) -> subprocess.CompletedProcess[str]:
    assert _HELM is not None
    return subprocess.run([_HELM, *words], capture_output=True, text=True, check=False, timeout=60)


def _refused(chart: str, *settings: str) -> str:
    done = _helm("template", chart, str(_CHARTS / chart), *(word for each in settings for word in ("--set", each)))
    assert done.returncode != 0
    return done.stderr


def _rendered(chart: str, *settings: str, release: str | None = None) -> dict[str, Any]:
    """Have helm render a chart; give the documents by their kinds, as the API takes them."""
    words = [word for each in settings for word in ("--set-json" if "={" in each else "--set", each)]
    done = _helm("template", release or chart, str(_CHARTS / chart), "--namespace", "scone", *words)
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    for document in documents:
        for version in _VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    return {document["kind"]: document for document in documents}


def _pod(documents: dict[str, Any], kind: str) -> Any:
    return documents[kind]["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", SERVICES)
def test_files_follow_from_the_parameters(name: str) -> None:
    """What is in the repository is what `scripts/write-charts.py` writes, and what tools of ours install."""
    for path, text in generated(name).items():
        assert (_CHARTS / name / path).read_text(encoding="utf-8") == text, "run scripts/write-charts.py"
    files = {str(path.relative_to(_CHARTS / name)) for path in (_CHARTS / name).rglob("*") if path.is_file()}
    assert set(service_chart(name).files) == files
    with pytest.raises(NotFoundError, match="there is no chart"):
        parameters_of("vault")


@needs_helm
@pytest.mark.parametrize("name", SERVICES)
def test_lint(name: str) -> None:
    """Helm has nothing to say against them."""
    linted = _helm("lint", "--strict", str(_CHARTS / name))
    assert linted.returncode == 0, linted.stdout + linted.stderr


@needs_helm
def test_cas_with_a_file(tmp_path: Path) -> None:
    """One pod without any privilege; its configuration is one that the CAS takes, for the name that it has there."""
    documents = _rendered("cas", "persistence.enabled=true", "persistence.size=3Gi", "metrics.enabled=true")
    assert set(documents) == {"ConfigMap", "Service", "StatefulSet"}
    assert documents["Service"]["metadata"]["name"] == "cas"
    assert [port["port"] for port in documents["Service"]["spec"]["ports"]] == [8081, 18765]
    config = tmp_path / "cas.toml"
    config.write_text(documents["ConfigMap"]["data"]["cas.toml"])
    read = load_config(config, home=tmp_path)
    assert {"cas", "cas.scone", "cas.scone.svc"} <= set(read.names)
    assert (read.api.port, read.enclave.port, read.postgresql) == (8081, 18765, None)
    pod = _pod(documents, "StatefulSet")
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["resources"]["limits"] == {"sgx.intel.com/enclave": "1"}
    assert container["image"] == "bannock-cas"
    (claim,) = documents["StatefulSet"]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "3Gi"}


@needs_helm
def test_cas_with_postgresql(tmp_path: Path) -> None:
    """Replicas share a database and a master key; no password is in the configuration."""
    documents = _rendered("cas", *_POSTGRESQL, release="my")
    assert documents["StatefulSet"]["metadata"]["name"] == "my-cas"
    assert documents["StatefulSet"]["spec"]["replicas"] == 3
    assert "volumeClaimTemplates" not in documents["StatefulSet"]["spec"]
    kept = _rendered("cas", *_POSTGRESQL, "persistence.enabled=true", "acceptRollback=true")["StatefulSet"]["spec"]
    assert kept["volumeClaimTemplates"][0]["metadata"]["name"] == "state"
    assert "--accept-rollback" in kept["template"]["spec"]["containers"][0]["args"]
    assert documents["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    text = documents["ConfigMap"]["data"]["cas.toml"]
    assert tomllib.loads(text)["master_key"] == "/etc/bannock/keys/master.key"
    config = tmp_path / "cas.toml"
    config.write_text(text)
    assert load_config(config, home=tmp_path).postgresql is not None
    pod = _pod(documents, "StatefulSet")
    (password,) = (each for each in pod["containers"][0]["env"] if each["name"] == "PGPASSWORD")
    assert password["valueFrom"]["secretKeyRef"] == {"name": "database", "key": "password"}
    (keys,) = (volume for volume in pod["volumes"] if volume["name"] == "keys")
    assert keys["secret"]["defaultMode"] == 0o400
    assert "fsGroup" not in pod["securityContext"]


@needs_helm
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (("replicas=2",), "more than one needs postgresql.url"),
        ((_POSTGRESQL[0],), "masterKey.secret names the secret"),
        (("postgresql.url=postgresql://cas:pw@db/cas", "masterKey.secret=k"), "has a password in it"),
        ((*_POSTGRESQL, "persistence.existingClaim=c"), "a counter of its own"),
        (("postgresql.url=mysql://db/cas", "masterKey.secret=k"), "postgresql.url is postgresql://"),
        (("replica=2",), "replica"),
        (("useSGXDevPlugin=maybe",), "useSGXDevPlugin"),
    ],
)
def test_what_cannot_be_is_refused(settings: tuple[str, ...], reason: str) -> None:
    """Before anything is installed, with the reason."""
    assert reason in _refused("cas", *settings)


@needs_helm
@pytest.mark.parametrize("chart", ["cas", "las"])
def test_what_vouches(chart: str) -> None:
    """Each word asks for a resource, which the device plugin (or that of Azure) offers; `none` asks for nothing."""
    kind = {"cas": "StatefulSet", "las": "DaemonSet"}[chart]
    offered = {resource.name for resource in RESOURCES} | {"sgx.intel.com/epc"}
    for word in DEVICES:
        (container,) = _pod(_rendered(chart, f"useSGXDevPlugin={word}"), kind)["containers"]
        limits = container.get("resources", {}).get("limits", {})
        assert set(limits) <= offered
        assert len(limits) == (word != "none")
    (container,) = _pod(_rendered(chart, "resources.limits.memory=1Gi"), kind)["containers"]
    assert container["resources"]["limits"] == {"memory": "1Gi", "sgx.intel.com/enclave": "1"}


@needs_helm
def test_las() -> None:
    """One on every node, at port 18766 of it, with the two capabilities that it needs, and not privileged."""
    documents = _rendered("las", "image=registry.example.com/las:1", "simulate=tdx", "mode=sim")
    assert set(documents) == {"DaemonSet"}
    assert documents["DaemonSet"]["metadata"]["name"] == "las"
    pod = _pod(documents, "DaemonSet")
    assert pod["hostNetwork"]
    assert pod["hostPID"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example.com/las:1"
    assert container["args"] == ["--listen", "0.0.0.0:18766", "--simulate", "tdx"]
    assert container["ports"] == [{"name": "las", "containerPort": 18766, "hostPort": 18766}]
    assert container["securityContext"] == {
        "capabilities": {"add": ["SYS_PTRACE", "SYS_ADMIN"]}, "appArmorProfile": {"type": "Unconfined"},
    }  # fmt: skip
    chosen = _pod(_rendered("las", "nodeSelector.sgx\\.intel\\.com/capable=true"), "DaemonSet")
    assert chosen["nodeSelector"] == {"sgx.intel.com/capable": "true"}


@needs_helm
def test_device_plugin() -> None:
    """It sees devices and the kubelet's directory, has no capability, and may label nodes only if it is to."""
    documents = _rendered("sgxdevplugin", "maxSGXPods=20", release="sgxplugin-sample")
    assert set(documents) == {"DaemonSet", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"}
    assert documents["DaemonSet"]["metadata"]["name"] == "sgxplugin-sample-sgxdevplugin"
    assert documents["ClusterRole"]["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]}]
    pod = _pod(documents, "DaemonSet")
    (container,) = pod["containers"]
    assert container["command"][1:] == ["k8s", "device-plugin"]
    assert container["args"][:2] == ["--max-pods", "20"]
    assert "--label-node" in container["args"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in container["securityContext"]
    read_only = {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert read_only == {"device-plugins": False, "dev": True, "sys": True, "tmp": False}
    silent = _rendered("sgxdevplugin", "labelNodes=false", "kubeletPath=/var/snap/kubelet/")
    assert set(silent) == {"DaemonSet", "ServiceAccount"}
    pod = _pod(silent, "DaemonSet")
    assert "--label-node" not in pod["containers"][0]["args"]
    assert not pod["automountServiceAccountToken"]
    assert pod["volumes"][0]["hostPath"]["path"] == "/var/snap/kubelet/device-plugins"


@needs_helm
@pytest.mark.parametrize("name", SERVICES)
def test_words_of_a_user(name: str) -> None:
    """What every chart takes of users is where it belongs, and templates in a selector are read."""
    documents = _rendered(
        name, 'nodeSelector={"release": "{{ .Release.Name }}"}', "imagePullSecrets[0].name=sconeapps",
        "tolerations[0].operator=Exists", "podAnnotations.a=b", "podLabels.c=d",
    )  # fmt: skip
    (workload,) = (each for kind, each in documents.items() if kind in {"DaemonSet", "StatefulSet"})
    template = workload["spec"]["template"]
    assert template["spec"]["nodeSelector"] == {"release": name}
    assert template["spec"]["imagePullSecrets"] == [{"name": "sconeapps"}]
    assert template["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert template["metadata"]["annotations"]["a"] == "b"
    assert template["metadata"]["labels"]["c"] == "d"
