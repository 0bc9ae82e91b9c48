"""Charts of protected images, read by the real helm, and what it makes of them by the schemas of Kubernetes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bannock.charts.workload import ChartVolume, Workload, WorkloadType, ports_of, workload_chart
from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

kubernetes_validate = pytest.importorskip("kubernetes_validate")

_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
_HELM = shutil.which("helm", path=_PATH)
_VERSIONS = ("1.30", "1.35")
_VOLUMES = (
    ChartVolume(name="my_vol", path="/vol/in vol", protected=True),
    ChartVolume.parse("Plain:/plain"),
)

needs_helm = pytest.mark.skipif(_HELM is None, reason="helm is not installed")


def _workload(kind: WorkloadType, **others: Any) -> Workload:
    described: dict[str, Any] = {
        "name": "my_Flask.service", "image": "registry.example.com/flask:1", "program": "/usr/bin/python3",
        "config_id": "ns/flask/my_Flask.service", "cas": "cas.example.com", "cas_key": "key", "las": "localhost:18766",
        "ports": (4996, 8080), "volumes": _VOLUMES,
    }  # fmt: skip
    return Workload(type=kind, **{**described, **others})


def _helm(*words: str) -> subprocess.CompletedProcess[str]:
    assert _HELM is not None
    return subprocess.run([_HELM, *words], capture_output=True, text=True, check=False, timeout=60)


def _rendered(workload: Workload, directory: Path, *settings: str) -> dict[str, Any]:
    """Have helm look at a chart and render it; give the documents by their kinds, as the API takes them."""
    path = workload_chart(workload).write(directory)
    linted = _helm("lint", "--strict", str(path))
    assert linted.returncode == 0, linted.stdout + linted.stderr
    done = _helm("template", "release", str(path), *(word for each in settings for word in ("--set", each)))
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    for document in documents:
        for version in _VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    return {document["kind"]: document for document in documents}


def _pod(documents: Mapping[str, Any], kind: str) -> Any:
    return documents[kind]["spec"]["template"]["spec"]


def _variables(pod: Any) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in pod["containers"][0]["env"]}


@needs_helm
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (WorkloadType.DEPLOYMENT, "Deployment"),
        (WorkloadType.STATEFULSET, "StatefulSet"),
        (WorkloadType.DAEMONSET, "DaemonSet"),
        (WorkloadType.JOB, "Job"),
    ],
)
def test_every_type(kind: WorkloadType, name: str, tmp_path: Path) -> None:
    """Helm and the API take it; the container has what the runtime needs, and no privilege for that."""
    documents = _rendered(_workload(kind), tmp_path)
    assert set(documents) == {name, "Service"}
    pod = _pod(documents, name)
    (container,) = pod["containers"]
    assert container["image"] == "registry.example.com/flask:1"
    assert _variables(pod) == {
        "SCONE_CONFIG_ID": "ns/flask/my_Flask.service", "SCONE_CAS_ADDR": "cas.example.com", "BANNOCK_CAS_KEY": "key",
        "SCONE_LAS_ADDR": {"fieldRef": {"fieldPath": "status.hostIP"}}, "BANNOCK_MOUNT": "memory",
    }  # fmt: skip
    assert "capabilities" not in container["securityContext"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["seccompProfile"] == {"type": "Unconfined"}
    assert {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]} == {
        "my-vol": "/vol/in vol", "plain": "/plain",
    }  # fmt: skip
    assert {volume["name"] for volume in pod["volumes"]} == {"my-vol", "plain"}
    assert "command" not in container
    assert pod["automountServiceAccountToken"] is False


@needs_helm
def test_volumes_that_outlive_pods(tmp_path: Path) -> None:
    """Each is a claim: of its own, one that is there, or of each pod of a stateful set."""
    kept = ("volumes.my-vol.persistence.enabled=true", "volumes.my-vol.persistence.size=3Gi")
    there = ("volumes.plain.persistence.enabled=true", "volumes.plain.persistence.existingClaim=mine")
    documents = _rendered(_workload(WorkloadType.DEPLOYMENT), tmp_path, *kept, *there)
    assert documents["PersistentVolumeClaim"]["spec"]["resources"] == {"requests": {"storage": "3Gi"}}
    claim = documents["PersistentVolumeClaim"]["metadata"]["name"]
    names = [each["persistentVolumeClaim"]["claimName"] for each in _pod(documents, "Deployment")["volumes"]]
    assert sorted(names) == sorted([claim, "mine"])
    documents = _rendered(_workload(WorkloadType.STATEFULSET), tmp_path, *kept, *there)
    assert "PersistentVolumeClaim" not in documents
    (template,) = documents["StatefulSet"]["spec"]["volumeClaimTemplates"]
    assert template["metadata"]["name"] == "my-vol"
    assert [volume["name"] for volume in _pod(documents, "StatefulSet")["volumes"]] == ["plain"]


@needs_helm
def test_what_users_set(tmp_path: Path) -> None:
    """The public page's example, arguments, FUSE by a device plugin, a LAS elsewhere, and nothing exposed."""
    settings = ("replicaCount=5", "imagePullSecrets[0].name=my-secret", "resources.limits.memory=2Gi")
    workload = _workload(WorkloadType.DEPLOYMENT, settings=settings, las="las.example.com:18766", ports=(), volumes=())
    fuse = ("scone.mount=fuse", "scone.fuseResource=devices/fuse", "args={--port,80}", "scone.log=warning")
    documents = _rendered(workload, tmp_path, *fuse)
    assert set(documents) == {"Deployment"}
    assert documents["Deployment"]["spec"]["replicas"] == 5
    pod = _pod(documents, "Deployment")
    (container,) = pod["containers"]
    assert pod["imagePullSecrets"] == [{"name": "my-secret"}]
    assert (container["command"], container["args"]) == (["/usr/bin/python3"], ["--port", "80"])
    assert container["resources"]["limits"] == {"memory": "2Gi", "devices/fuse": 1}
    assert container["securityContext"]["capabilities"] == {"add": ["SYS_ADMIN"]}
    assert _variables(pod)["SCONE_LAS_ADDR"] == "las.example.com:18766"
    assert "readinessProbe" not in container
    documents = _rendered(workload, tmp_path, "scone.mount=fuse")
    assert _pod(documents, "Deployment")["containers"][0]["securityContext"] == {"privileged": True}


@needs_helm
def test_wrong_values_are_refused_by_helm(tmp_path: Path) -> None:
    """Names and types are checked where a user sets them."""
    path = workload_chart(_workload(WorkloadType.DEPLOYMENT)).write(tmp_path)
    for setting in ("replicas=3", "replicaCount=many", "scone.mount=disk", "volumes.my-vol.persistance=x"):
        done = _helm("template", "release", str(path), "--set", setting)
        assert done.returncode != 0, setting
        assert "values" in done.stderr


def test_text_in_a_chart_is_text(tmp_path: Path) -> None:
    """What an image or a session is called cannot become a part of a document."""
    name = 'x"\n- y: {{ fail "no" }}'
    volumes = (ChartVolume.parse("on:/on"), ChartVolume.parse("0:/0"))
    workload = _workload(WorkloadType.JOB, image=name, config_id=name, cas=name, volumes=volumes)
    values = yaml.safe_load((workload_chart(workload).write(tmp_path) / "values.yaml").read_text())
    assert values["image"] == values["scone"]["configId"] == values["scone"]["cas"] == name
    if _HELM is not None:
        assert _variables(_pod(_rendered(workload, tmp_path), "Job"))["SCONE_CAS_ADDR"] == name


def test_a_chart_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    """A chart of before goes, with files that the new one does not have; another directory stays."""
    chart = workload_chart(_workload(WorkloadType.JOB))
    (chart.write(tmp_path) / "templates" / "old.yaml").touch()
    assert not (chart.write(tmp_path) / "templates" / "old.yaml").exists()
    other = tmp_path / "other" / chart.name
    other.mkdir(parents=True)
    (other / "kept").touch()
    with pytest.raises(InputError, match="is no chart"):
        chart.write(other.parent)
    assert (other / "kept").exists()


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"name": "___"}, "the service '___'"),
        ({"volumes": (_VOLUMES[0], ChartVolume.parse("my-vol:/x"))}, "have one name in Kubernetes, my-vol"),
        ({"ports": (70000,)}, "number of a port"),
        ({"settings": ("replicas=1",)}, "no parameter replicas"),
    ],
)
def test_what_cannot_be(others: Mapping[str, object], message: str) -> None:
    """Each is an error of the user's, before there is a chart."""
    with pytest.raises(InputError, match=message):
        workload_chart(_workload(WorkloadType.DEPLOYMENT, **others))


@pytest.mark.parametrize(("texts", "ports"), [(["80", "443", "80"], (80, 443)), ([], ())])
def test_ports(texts: Sequence[str], ports: tuple[int, ...]) -> None:
    """Ports are numbers, each once."""
    assert ports_of(texts) == ports
    with pytest.raises(InputError, match="number of a port"):
        ports_of(["http"])


@pytest.mark.parametrize("text", ["x", "x:", ":/x", "x:y", "x:/y:/z"])
def test_volumes(text: str) -> None:
    """A volume is a name and an absolute path."""
    with pytest.raises(InputError, match="NAME:PATH"):
        ChartVolume.parse(text)


def test_types() -> None:
    """The four types of the public reference, and no other."""
    assert WorkloadType.parse("Deployment") is WorkloadType.DEPLOYMENT
    with pytest.raises(InputError, match="deployment, statefulset, daemonset, job"):
        WorkloadType.parse("cronjob")
