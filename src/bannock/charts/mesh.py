"""The chart of a mesh: a workload for each of its services, and what uploads its policies. Pure but for templates."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from bannock.charts.chart import Chart
from bannock.charts.names import dns_label
from bannock.charts.parameters import Parameter, schema_text, values_text
from bannock.charts.services import DEVICES
from bannock.charts.subcharts import defined_in, files_of, values_of
from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bannock.charts.subcharts import Subchart

__all__ = ["MeshChart", "MeshWorkload", "PolicyUpload", "mesh_chart"]

_FILES: Final = "mesh"
_DIRECTORY: Final = "helm"
_VERSION: Final = "0.1.0"
_NAME_MAX: Final = 40
_VOLUME_NAME_MAX: Final = 20
_PORT_END: Final = 1 << 16
#: A value of a mesh that older manifests have for the port of a service.
_PORT: Final = "APP_SERVICE_PORT"
_PULL_SECRETS: Final = "imagePullSecrets"
_TYPES: Final = ("deployment", "statefulset")
#: Not every service listens at the port that its mesh names.
_READY: Final = ("started", "listening")
_REACH: Final = ("ClusterIP", "NodePort", "LoadBalancer")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshWorkload:
    """A service, as a cluster runs it.

    Attributes:
        name: of it in the mesh.
        image: as a cluster pulls it.
        digest: of the image; empty where its tag says which it is.
        config_id: session and service.
        volumes: name → path in the container, of its encrypted volumes.
        values: of the mesh, for this service.
        chart: that the mesh gives for it; None for the one that is made.
    """

    name: str
    image: str
    config_id: str
    digest: str = ""
    volumes: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    chart: Subchart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyUpload:
    """Policies that are uploaded from inside the cluster.

    Attributes:
        image: that has the command ``scone``.
        cas: address of the CAS for its clients.
        tolerance: options that it is attested with.
        documents: file name → policy.
        attest: whether the CAS is attested before; policies that it alone can read may go to whoever answers.
        enabled: whether the chart uploads them, or somebody else does.
    """

    image: str
    cas: str
    tolerance: str
    documents: Mapping[str, str] = field(repr=False)
    attest: bool = False
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshChart:
    """What a chart is made of.

    Attributes:
        name: of the mesh.
        workloads: its services.
        cas: address of the CAS for its services.
        cas_key: the key that it has to have; empty where the images say.
        pull: whether nodes look for a newer image at each start.
        values: of the mesh, for all.
        extra: further values, as helm takes them.
        upload: policies that the chart brings along; None for none.
    """

    name: str
    workloads: Sequence[MeshWorkload]
    cas: str
    cas_key: str = ""
    pull: bool = True
    values: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    upload: PolicyUpload | None = None


def mesh_chart(mesh: MeshChart) -> Chart:
    """Make the chart.

    Raises:
        InputError: a name cannot be one in Kubernetes, two are the same there, or a value is none that the chart has.
    """
    of_all = [*_of_all(mesh), *_of_upload(mesh.upload)]
    parameters = list(of_all)
    templates = resources.files("bannock.charts").joinpath(_FILES).joinpath("templates")
    files = {f"templates/{each.name}": each.read_text("utf-8") for each in templates.iterdir()}
    named: dict[str, str] = {}
    given: dict[str, str] = {}
    for workload in mesh.workloads:
        label = dns_label(workload.name, "the service", longest=_NAME_MAX)
        if label in named:
            raise InputError(
                f"the services {named[label]} and {workload.name} have one name in Kubernetes, {label}",
                hint="give one of them another name",
            )
        named[label] = workload.name
        own = _of_service(f"services.{label}", workload)
        if workload.chart is None:
            parameters += own
            continue
        parameters.append(_of_chart(label, workload.chart, [*of_all, *own]))
        given[label] = workload.chart.version
        files |= files_of(workload.chart, label, defined_in(files.values()))
    if len(given) == len(named):
        parameters.append(Parameter(path="services", default={}, about="services that have no chart of their own"))
    parameters = _with_extra(parameters, mesh.extra)
    return Chart(
        name=_DIRECTORY,
        files={
            "Chart.yaml": _description(dns_label(mesh.name, "the mesh", longest=_NAME_MAX), given),
            "values.yaml": values_text(parameters),
            "values.schema.json": schema_text(parameters),
            **files,
        },
    )


def _description(name: str, charts: Mapping[str, str]) -> str:
    fields: dict[str, Any] = {
        "apiVersion": "v2",
        "name": name,
        "description": "a mesh of protected services",
        "type": "application",
        "version": _VERSION,
    }
    if charts:
        fields["dependencies"] = [{"name": each, "version": charts[each], "repository": ""} for each in charts]
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in fields.items())


def _of_chart(label: str, chart: Subchart, parameters: Sequence[Parameter]) -> Parameter:
    """Return the values of a chart that the mesh gives for a service, by its name."""
    if label in {parameter.path.partition(".")[0] for parameter in parameters}:
        raise InputError(
            f"a service with a chart of its own cannot be called {label}: the chart of the mesh has such a value",
            hint="give the service another name",
        )
    return Parameter(path=label, default=values_of(chart, label, parameters), about="values of the chart given for it")


def _of_all(mesh: MeshChart) -> list[Parameter]:
    values = mesh.values
    secrets = [{"name": name} for name in (each.strip() for each in values.get(_PULL_SECRETS, "").split(",")) if name]
    pull = "Always" if mesh.pull else "IfNotPresent"
    made = [
        Parameter(
            path="imagePullPolicy",
            default=pull,
            about="when nodes pull images",
            choices=("Always", "IfNotPresent", "Never"),
        ),
        Parameter(path=_PULL_SECRETS, default=secrets, about="secrets to pull them with: [{name: NAME}]"),
        Parameter(path="cas.address", default=mesh.cas, about="the CAS, as services reach it"),
        Parameter(path="cas.key", default=mesh.cas_key, about="hash of its key; empty: what images have"),
        Parameter(path="las.address", default="", about="the LAS; empty: the node that the container is on"),
        Parameter(
            path="useSGXDevPlugin",
            default="none",
            about="resource of a device plugin that nodes need to have for the services",
            choices=DEVICES,
        ),
        Parameter(path="sgxEpcMem", default="16Mi", about="for useSGXDevPlugin=azure: how much enclave memory"),
        Parameter(path="log", default="", about="level of the runtime's log; empty: what images have"),
        Parameter(
            path="mount", default="memory", about="how volumes come under the services", choices=("memory", "fuse")
        ),
        Parameter(
            path="fuseResource",
            default="",
            about="for fuse: resource of a device plugin that gives /dev/fuse; empty: containers are privileged",
        ),
        Parameter(
            path="appArmor",
            default="Unconfined",
            about="AppArmor profile where nodes have it; RuntimeDefault forbids mounts; empty: none",
        ),
        Parameter(path="serviceAccountName", default="", about="account that pods run by; empty: one without rights"),
    ]
    return [_given(parameter, parameter.path, values) for parameter in made]


def _of_upload(upload: PolicyUpload | None) -> list[Parameter]:
    given = upload or PolicyUpload(image="", cas="", tolerance="", documents={}, enabled=False)
    return [
        Parameter(path="policies.upload", default=given.enabled, about="whether a job of the chart uploads policies"),
        Parameter(path="policies.image", default=given.image, about="image with the command scone, for that job"),
        Parameter(path="policies.cas", default=given.cas, about="the CAS, as its clients reach it"),
        Parameter(
            path="policies.attest",
            default=given.attest,
            about="whether that job attests the CAS; encrypted policies are for the right CAS alone",
        ),
        Parameter(path="policies.tolerance", default=given.tolerance, about="options that it is attested with"),
        Parameter(path="policies.documents", default=dict(given.documents), about="policies, signed or encrypted"),
    ]


def _of_service(path: str, workload: MeshWorkload) -> list[Parameter]:
    values = workload.values
    made = [
        Parameter(path="image", default=workload.image, about="the image"),
        Parameter(
            path="digest", default=workload.digest, about="digest of it (sha256:...); empty: what its tag names"
        ),
        Parameter(path="configId", default=workload.config_id, about="session and service that it is started as"),
        Parameter(path="type", default="deployment", about="what a cluster makes of it", choices=_TYPES),
        Parameter(path="replicas", default=1, about="how many containers run"),
        Parameter(path="ports", default=_ports(workload), about="where others reach it; none: nowhere"),
        Parameter(path="serviceType", default="ClusterIP", about="from where they do", choices=_REACH),
        Parameter(path="extraEnv", default=[], about="more variables of the container; the application sees none"),
        Parameter(path="resources", default={}, about="requests and limits of the container"),
        Parameter(path="startupProbe", default={}, about="when it has started"),
        Parameter(path="livenessProbe", default={}, about="when it is started anew"),
        Parameter(path="readinessProbe", default={}, about="when it gets requests; empty: as readyWhen says"),
        Parameter(path="readyWhen", default=_READY[0], about="or once its first port is open", choices=_READY),
        Parameter(path="podAnnotations", default={}, about="annotations of pods"),
        Parameter(path="podLabels", default={}, about="labels of pods"),
        Parameter(path="podSecurityContext", default={}, about="security context of pods"),
        Parameter(path="securityContext", default={}, about="more of the container's security context"),
        Parameter(path="nodeSelector", default={}, about="labels of nodes that pods run on"),
        Parameter(path="tolerations", default=[], about="taints of nodes that pods tolerate"),
        Parameter(path="affinity", default={}, about="which nodes and pods they are near"),
    ]
    taken = {"type", "replicas", "serviceType", "readyWhen"}
    # A variable of the application may have the name of a parameter; of those that it may have, few do.
    settled = [_given(each, each.path, values) if each.path in taken else each for each in made]
    return [*(replace(each, path=f"{path}.{each.path}") for each in settled), *_volumes(path, workload)]


def _volumes(path: str, workload: MeshWorkload) -> list[Parameter]:
    if not workload.volumes:
        return [Parameter(path=f"{path}.volumes", default={}, about="its encrypted volumes: none")]
    made: dict[str, str] = {}
    parameters = []
    for volume, mounted in workload.volumes.items():
        name = dns_label(volume, "the volume", longest=_VOLUME_NAME_MAX)
        if name in made:
            raise InputError(f"the volumes {made[name]} and {volume} have one name in Kubernetes, {name}")
        made[name] = volume
        kept = f"{path}.volumes.{name}.persistence"
        parameters += [
            Parameter(path=f"{path}.volumes.{name}.mountPath", default=mounted, about=f"where {volume} is, encrypted"),
            Parameter(path=f"{kept}.enabled", default=False, about="whether it outlives its pod"),
            Parameter(path=f"{kept}.existingClaim", default="", about="a claim that is there; empty: a new one"),
            Parameter(path=f"{kept}.storageClass", default="", about="of a new claim; empty: the cluster's default"),
            Parameter(path=f"{kept}.accessModes", default=["ReadWriteOnce"], about="of a new claim"),
            Parameter(path=f"{kept}.size", default="1Gi", about="of a new claim"),
        ]
    return parameters


def _ports(workload: MeshWorkload) -> list[int]:
    found = []
    for text in filter(None, (each.strip() for each in workload.values.get(_PORT, "").split(","))):
        if not (text.isascii() and text.isdigit() and 0 < int(text) < _PORT_END):
            raise InputError(f"{_PORT} of service {workload.name} is the number of a port, found {text[:40]!r}")
        found.append(int(text))
    return found


def _given(parameter: Parameter, name: str, values: Mapping[str, str]) -> Parameter:
    """Return a parameter with the default that a mesh gives it."""
    text = values.get(name)
    if text is None or isinstance(parameter.default, list):
        return parameter
    value: Any = text
    if isinstance(parameter.default, int):
        value = int(text) if text.isascii() and text.isdigit() else None
    if value is None or (parameter.choices and value not in parameter.choices):
        wanted = " or ".join(parameter.choices) or "a number"
        raise InputError(f"the value {name} of the mesh is one of its chart: expected {wanted}, found {text[:80]!r}")
    return replace(parameter, default=value)


def _with_extra(parameters: Sequence[Parameter], extra: Mapping[str, Any]) -> list[Parameter]:
    changed = {parameter.path: parameter for parameter in parameters}
    for path, value in _flat(extra, changed):
        if path not in changed:
            raise InputError(
                f"helm_extra_values: the chart has no value {path[:200]}", hint=f"it has: {', '.join(sorted(changed))}"
            )
        parameter = changed[path]
        if type(value) is not type(parameter.default) or (parameter.choices and value not in parameter.choices):
            wanted = " or ".join(parameter.choices) or type(parameter.default).__name__
            raise InputError(f"helm_extra_values: {path[:200]} is {wanted}")
        changed[path] = replace(parameter, default=value)
    return list(changed.values())


def _flat(mapping: Mapping[str, Any], known: Mapping[str, Parameter], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and path not in known:
            yield from _flat(value, known, f"{path}.")
        else:
            yield path, value
