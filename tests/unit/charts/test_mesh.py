"""Charts of meshes, read by the real helm, and what it makes of them by the schemas of Kubernetes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bannock.charts.mesh import MeshChart, MeshWorkload, PolicyUpload, mesh_chart
from bannock.charts.subcharts import Subchart, read_chart
from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

kubernetes_validate = pytest.importorskip("kubernetes_validate")

_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
_HELM = shutil.which("helm", path=_PATH)
_VERSIONS = ("1.30", "1.35")
_WORKLOAD = MeshWorkload(
    name="python_service", image="registry.example.com/hello:1", config_id="my/app/release/python_service/python3",
    values={"APP_SERVICE_PORT": "443"},
)  # fmt: skip
_MESH = {"name": "app", "cas": "cas.scone-system", "cas_key": "key"}
_UPLOAD = PolicyUpload(
    image="registry.example.com/sconecli:5.8", cas="cas.scone-system", tolerance="-C -G",
    documents={"001.new": '{"ciphertext": "a"}', "002.next": '{"ciphertext": "b"}'},
)  # fmt: skip

needs_helm = pytest.mark.skipif(_HELM is None, reason="helm is not installed")


def _mesh(*workloads: MeshWorkload, **others: Any) -> MeshChart:
    return MeshChart(workloads=workloads or (_WORKLOAD,), **{**_MESH, **others})


def _helm(*words: str) -> subprocess.CompletedProcess[str]:
    assert _HELM is not None
    return subprocess.run([_HELM, *words], capture_output=True, text=True, check=False, timeout=60)


def _rendered(mesh: MeshChart, directory: Path, *settings: str, lint: bool = True) -> dict[tuple[str, str], Any]:
    """Have helm look at a chart and render it; give the documents by kind and name, as the API takes them."""
    path = mesh_chart(mesh).write(directory)
    linted = _helm("lint", "--strict", str(path)) if lint else None
    assert linted is None or linted.returncode == 0, linted.stdout + linted.stderr
    structured = ("={", "=[")
    words = [
        word
        for each in settings
        for word in ("--set-json" if any(mark in each for mark in structured) else "--set", each)
    ]
    done = _helm("template", "pythonapp", str(path), *words)
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    for document in documents:
        for version in _VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


@needs_helm
def test_a_service(tmp_path: Path) -> None:
    """A deployment that scripts find by its labels, a service, an account without rights: no privilege."""
    documents = _rendered(_mesh(values={"imagePullSecrets": "sconeapps"}), tmp_path)
    name = "pythonapp-python-service"
    assert set(documents) == {("Deployment", name), ("Service", name), ("ServiceAccount", "pythonapp-app")}
    deployment = documents["Deployment", name]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/name": "python-service", "app.kubernetes.io/instance": "pythonapp"}
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    pod = deployment["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("pythonapp-app", False)
    assert pod["imagePullSecrets"] == [{"name": "sconeapps"}]
    (container,) = pod["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("registry.example.com/hello:1", "Always")
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert environment == {
        "SCONE_CONFIG_ID": "my/app/release/python_service/python3", "SCONE_CAS_ADDR": "cas.scone-system",
        "BANNOCK_CAS_KEY": "key", "SCONE_LAS_ADDR": None, "BANNOCK_MOUNT": "memory",
    }  # fmt: skip
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert "privileged" not in container["securityContext"]
    assert "resources" not in container
    # Whoever names a port need not listen there.
    assert "readinessProbe" not in container
    assert documents["Service", name]["spec"]["ports"] == [{"name": "port-443", "port": 443, "targetPort": 443}]


@needs_helm
def test_a_service_that_is_ready_when_it_listens(tmp_path: Path) -> None:
    """No request reaches it before it was attested and listens: an update that rolls loses none."""
    documents = _rendered(_mesh(), tmp_path, "services.python-service.readyWhen=listening", lint=False)
    (container,) = documents["Deployment", "pythonapp-python-service"]["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"] == {"tcpSocket": {"port": "port-443"}, "periodSeconds": 2}


@needs_helm
def test_several_services(tmp_path: Path) -> None:
    """Each is one of its own; a stateful one makes its claims, another has them beside it."""
    volumes = {"my_data": "/data"}
    other = MeshWorkload(
        name="db", image="db:1", digest="sha256:" + "a" * 64, config_id="s/db", volumes=volumes,
        values={"type": "statefulset", "replicas": "3"},
    )  # fmt: skip
    third = MeshWorkload(name="x" * 40, image="x:1", config_id="s/x", volumes=volumes)
    documents = _rendered(
        _mesh(_WORKLOAD, other, third), tmp_path,
        "services.db.volumes.my-data.persistence.enabled=true",
        f"services.{'x' * 40}.volumes.my-data.persistence.enabled=true",
        'services.db.readinessProbe={"tcpSocket":{"port":5432}}',
    )  # fmt: skip
    stateful = documents["StatefulSet", "pythonapp-db"]["spec"]
    assert stateful["replicas"] == 3
    assert [claim["metadata"]["name"] for claim in stateful["volumeClaimTemplates"]] == ["my-data"]
    (container,) = stateful["template"]["spec"]["containers"]
    assert container["image"] == "db:1@sha256:" + "a" * 64
    assert container["volumeMounts"] == [{"name": "my-data", "mountPath": "/data"}]
    assert container["readinessProbe"] == {"tcpSocket": {"port": 5432}}
    claims = [name for kind, name in documents if kind == "PersistentVolumeClaim"]
    assert claims == [f"pythonapp-{'x' * 40}-my-data"]
    long = documents["Deployment", f"pythonapp-{'x' * 40}"]["spec"]["template"]["spec"]
    assert long["volumes"] == [{"name": "my-data", "persistentVolumeClaim": {"claimName": claims[0]}}]


@needs_helm
@pytest.mark.parametrize(
    ("plugin", "limits"),
    [
        ("scone", {"sgx.intel.com/enclave": "1"}),
        ("azure", {"sgx.intel.com/epc": "16Mi"}),
        ("tdx", {"intel.com/tdx": "1"}),
        ("none", None),
    ],
)
def test_what_vouches(tmp_path: Path, plugin: str, limits: dict[str, str] | None) -> None:
    """The mesh says which resource of a device plugin its services need."""
    documents = _rendered(_mesh(values={"useSGXDevPlugin": plugin}), tmp_path)
    (container,) = documents["Deployment", "pythonapp-python-service"]["spec"]["template"]["spec"]["containers"]
    assert container.get("resources", {}).get("limits") == limits


@needs_helm
def test_policies_are_uploaded_before_anything_starts(tmp_path: Path) -> None:
    """By a hook of helm; they are in a secret of the cluster, and only the CAS can read them."""
    documents = _rendered(_mesh(upload=_UPLOAD), tmp_path)
    job, secret = (documents[kind, "pythonapp-policies"] for kind in ("Job", "Secret"))
    assert secret["stringData"] == dict(_UPLOAD.documents)
    hooks = [each["metadata"]["annotations"] for each in (secret, job)]
    assert [hook["helm.sh/hook"] for hook in hooks] == ["pre-install,pre-upgrade"] * 2
    assert int(hooks[0]["helm.sh/hook-weight"]) < int(hooks[1]["helm.sh/hook-weight"])
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == _UPLOAD.image
    (script,) = container["args"]
    assert "cas attest" not in script
    assert subprocess.run(["/bin/sh", "-n"], input=script, text=True, check=False, timeout=10).returncode == 0
    attested = _rendered(_mesh(upload=_UPLOAD), tmp_path, "policies.attest=true")["Job", "pythonapp-policies"]
    assert "cas attest" in attested["spec"]["template"]["spec"]["containers"][0]["args"][0]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert ("Job", "pythonapp-policies") not in _rendered(_mesh(upload=_UPLOAD), tmp_path, "policies.upload=false")


@needs_helm
def test_values_that_are_none_are_refused_by_helm(tmp_path: Path) -> None:
    """Before anything is installed."""
    path = mesh_chart(_mesh()).write(tmp_path)
    for setting in ("service.x=1", "services.python-service.replica=2", "mount=disk"):
        assert _helm("template", "pythonapp", str(path), "--set", setting).returncode != 0


def test_further_values() -> None:
    """A mesh changes defaults of its chart, of the right name and kind."""
    chart = mesh_chart(_mesh(extra={"services": {"python-service": {"replicas": 2}}, "log": "debug"}))
    values = yaml.safe_load(chart.files["values.yaml"])
    assert (values["services"]["python-service"]["replicas"], values["log"]) == (2, "debug")
    for extra, told in (
        ({"services": {"other": {"replicas": 2}}}, "no value services.other.replicas"),
        ({"log": 1}, "log is str"),
        ({"mount": "disk"}, "mount is memory or fuse"),
    ):
        with pytest.raises(InputError, match=told):
            mesh_chart(_mesh(extra=extra))


@pytest.mark.parametrize(
    ("workload", "told"),
    [
        ({"values": {"APP_SERVICE_PORT": "http"}}, "number of a port"),
        ({"values": {"replicas": "many"}}, "expected a number"),
        ({"values": {"type": "daemon"}}, "deployment or statefulset"),
        ({"volumes": {"a_b": "/a", "a-b": "/b"}}, "one name in Kubernetes"),
        ({"name": "___"}, "no letter or digit"),
    ],
)
def test_what_cannot_be_is_refused(workload: dict[str, Any], told: str) -> None:
    """With what it is about."""
    described: dict[str, Any] = {"name": "one", "image": "i:1", "config_id": "s/o", **workload}
    with pytest.raises(InputError, match=told):
        mesh_chart(_mesh(MeshWorkload(**described)))
    with pytest.raises(InputError, match="have one name in Kubernetes, python-service"):
        mesh_chart(_mesh(_WORKLOAD, MeshWorkload(name="Python.Service", image="i:1", config_id="s/o")))


def _given(directory: Path, *workloads: MeshWorkload, changed: tuple[str, str]) -> Subchart:
    """A chart that was made of services, and then changed by hand."""
    path = mesh_chart(_mesh(*workloads)).write(directory)
    for template in (path / "templates").iterdir():
        template.write_text(template.read_text().replace(*changed))
    return read_chart(path)


@needs_helm
def test_charts_that_the_mesh_gives(tmp_path: Path) -> None:
    """They are part of its chart, with templates of their own, and with image, session and CAS of the mesh."""
    second = MeshWorkload(name="second", image="old:1", config_id="old", values={"APP_SERVICE_PORT": "80"})
    chart = _given(tmp_path / "given", second, _WORKLOAD, changed=("part-of: {{", "part-of: given-{{"))
    plain = tmp_path / "plain"
    (plain / "templates").mkdir(parents=True)
    (plain / "Chart.yaml").write_text("apiVersion: v2\nname: other\nversion: 1.2.3\n")
    (plain / "values.yaml").write_text("image: none\nscone: {configId: none, cas: none}\nown: 7\n")
    (plain / "templates/pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: 'own-{{ .Chart.Name }}'}\nspec:\n  containers:\n"
        "    - name: own\n      image: '{{ .Values.image }}'\n      args: ['{{ .Values.scone.configId }}', "
        "'{{ .Values.scone.cas }}', '{{ .Values.own }}']\n"
    )
    mesh = _mesh(
        _WORKLOAD,
        MeshWorkload(name="second", image="new:2", digest="sha256:" + "b" * 64, config_id="new/id", chart=chart),
        MeshWorkload(name="third", image="third:3", config_id="third/id", chart=read_chart(plain)),
    )
    documents = _rendered(mesh, tmp_path, "third.own=8", "second.services.second.replicas=2")
    deployments = {name for kind, name in documents if kind == "Deployment"}
    assert deployments == {"pythonapp-python-service", "pythonapp-second"}
    given = documents["Deployment", "pythonapp-second"]
    assert given["metadata"]["labels"]["app.kubernetes.io/part-of"] == "given-second"
    assert given["spec"]["replicas"] == 2
    (container,) = given["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert container["image"] == "new:2@sha256:" + "b" * 64
    assert (environment["SCONE_CONFIG_ID"], environment["SCONE_CAS_ADDR"]) == ("new/id", "cas.scone-system")
    (pod,) = documents["Pod", "own-third"]["spec"]["containers"]
    assert (pod["image"], pod["args"]) == ("third:3", ["third/id", "cas.scone-system", "8"])
    own = documents["Deployment", "pythonapp-python-service"]
    assert own["metadata"]["labels"]["app.kubernetes.io/part-of"] == "app"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "is no chart"),
        ({"Chart.yaml": b"version: 1\n", "values.yaml": b"- 1\n"}, "is no mapping"),
        ({"Chart.yaml": b"a: [\n"}, "is not YAML"),
        ({"Chart.yaml": b"a: 1\n", "charts/x.tgz": b"\xff\xfe"}, "charts/x.tgz in the chart .* is no text"),
    ],
)
def test_what_is_no_chart(tmp_path: Path, files: dict[str, bytes], told: str) -> None:
    """It is told, with its file."""
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    with pytest.raises(InputError, match=told):
        read_chart(tmp_path)


def test_a_service_whose_chart_has_no_place(tmp_path: Path) -> None:
    """The chart of the mesh has a value of its name."""
    chart = _given(tmp_path, _WORKLOAD, changed=("", ""))
    with pytest.raises(InputError, match="cannot be called cas"):
        mesh_chart(_mesh(MeshWorkload(name="cas", image="i", config_id="c", chart=chart)))


_PROBE = '{"tcpSocket":{"port":443}}'
_OPTIONS = (
    *(f"imagePullPolicy={each}" for each in ("Always", "IfNotPresent", "Never")),
    'imagePullSecrets=[{"name":"a"}]', "las.address=las:18766", "log=debug", "serviceAccountName=mine", "appArmor=",
    "appArmor=RuntimeDefault", "mount=fuse", "mount=fuse,fuseResource=bannock.dev/fuse", "cas.key=",
    *(f"useSGXDevPlugin={each}" for each in ("scone", "azure", "none", "tdx", "sev-snp", "tpm")),
    "useSGXDevPlugin=azure,sgxEpcMem=64Mi", "useSGXDevPlugin=tdx,mount=fuse,fuseResource=bannock.dev/fuse",
    "SERVICE.digest=sha256:" + "c" * 64, "SERVICE.type=statefulset", "SERVICE.replicas=3", "SERVICE.ports=[80,443]",
    "SERVICE.ports=[]", *(f"SERVICE.serviceType={each}" for each in ("ClusterIP", "NodePort", "LoadBalancer")),
    'SERVICE.extraEnv=[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]',
    'SERVICE.resources={"requests":{"cpu":"1"},"limits":{"memory":"1Gi"}}',
    *(f"SERVICE.{each}Probe={_PROBE}" for each in ("startup", "liveness", "readiness")),
    "SERVICE.readyWhen=listening",
    'SERVICE.podAnnotations={"a":"b"}', 'SERVICE.podLabels={"a":"b"}', 'SERVICE.podSecurityContext={"fsGroup":1}',
    'SERVICE.securityContext={"runAsUser":1000}', 'SERVICE.nodeSelector={"kubernetes.io/arch":"amd64"}',
    'SERVICE.tolerations=[{"key":"a","operator":"Exists"}]',
    'SERVICE.affinity={"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[]}}',
    "VOLUME.persistence.enabled=true", "VOLUME.mountPath=/other", "VOLUME.persistence.size=5Gi",
    "VOLUME.persistence.enabled=true,VOLUME.persistence.existingClaim=mine",
    "VOLUME.persistence.enabled=true,VOLUME.persistence.storageClass=fast",
    'VOLUME.persistence.enabled=true,VOLUME.persistence.accessModes=["ReadWriteMany"]',
    "VOLUME.persistence.enabled=true,SERVICE.type=statefulset", "policies.upload=false", "policies.attest=true",
    "policies.tolerance=-C", "policies.image=i:1", "policies.cas=other", "cas.address=other:1",
)  # fmt: skip


@needs_helm
def test_every_option(tmp_path: Path) -> None:
    """Each value of the chart, as helm takes it, gives what the API server takes; none is left out here."""
    workload = replace(_WORKLOAD, volumes={"data": "/data"})
    mesh = _mesh(workload, upload=_UPLOAD)
    values = yaml.safe_load(mesh_chart(mesh).files["values.yaml"])
    packs: list[dict[str, str]] = []
    for option in _OPTIONS:
        named = option.replace("VOLUME", "SERVICE.volumes.data").replace("SERVICE", "services.python-service")
        settings = {each.partition("=")[0]: each for each in _settings(named)}
        # What does not exclude each other is tried at once.
        pack = next((pack for pack in packs if not pack.keys() & settings.keys()), None)
        if pack is None:
            packs.append(pack := {})
        pack |= settings
    for pack in packs:
        _rendered(mesh, tmp_path, *pack.values(), lint=False)
    tried = {path for pack in packs for path in pack}
    made = {"image", "configId", "documents"}
    assert {
        path for path in _paths(values) if path.rpartition(".")[2] not in made or path == "policies.image"
    } == tried


def _settings(option: str) -> list[str]:
    """Split what is set, where a comma ends a setting."""
    found: list[str] = []
    for part in option.split(","):
        if found and ("=" not in part or any(each.count("[") > each.count("]") for each in found[-1:])):
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def _paths(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value and key != "documents":
            yield from _paths(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"
