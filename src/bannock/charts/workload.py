"""The chart of one protected image: a workload, its service and its volumes. Pure but for reading templates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from bannock.charts.chart import Chart
from bannock.charts.names import dns_label
from bannock.charts.parameters import Parameter, schema_text, table, values_text, with_defaults
from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ChartVolume", "Workload", "WorkloadType", "ports_of", "workload_chart"]

_FILES: Final = "workload"
_PORT_END: Final = 1 << 16
#: Helm puts the name of the release in front.
_NAME_MAX: Final = 40
_VOLUME_NAME_MAX: Final = 20
_VERSION: Final = "0.1.0"


class WorkloadType(Enum):
    """What a cluster makes of an image."""

    DEPLOYMENT = "deployment"
    STATEFULSET = "statefulset"
    DAEMONSET = "daemonset"
    JOB = "job"

    @classmethod
    def parse(cls, text: str) -> WorkloadType:
        """Take the word of an option.

        Raises:
            InputError: there is no such type.
        """
        try:
            return cls(text.lower())
        except ValueError:
            words = ", ".join(each.value for each in cls)
            raise InputError(f"--k8s-helm-workload-type is one of {words}, found {text[:80]!r}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartVolume:
    """A directory of the container that is a volume of the cluster.

    Attributes:
        name: as the user has it.
        path: where it is in the container.
        protected: whether the application's own encryption covers it.
    """

    name: str
    path: str
    protected: bool

    @classmethod
    def parse(cls, text: str) -> ChartVolume:
        """Take ``NAME:PATH`` apart, a volume that nothing protects.

        Raises:
            InputError: it has another form.
        """
        name, _, path = text.partition(":")
        if not name or not path.startswith("/") or ":" in path:
            raise InputError(f"--k8s-helm-volume is NAME:PATH, with an absolute path, found {text[:200]!r}")
        return cls(name=name, path=path, protected=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a cluster is to run.

    Attributes:
        type: how.
        name: of the service.
        image: reference of the protected image, as a cluster pulls it.
        program: path of the measured program in it.
        config_id: session and service.
        cas, cas_key, las: addresses that containers use, and the key of the CAS; None: those that the image has.
        ports: that clients reach.
        volumes: of the container.
        settings: other defaults of parameters.
    """

    type: WorkloadType
    name: str
    image: str
    program: str
    config_id: str
    cas: str | None = None
    cas_key: str | None = None
    las: str | None = None
    ports: tuple[int, ...] = ()
    volumes: tuple[ChartVolume, ...] = ()
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for port in self.ports:
            if not 0 < port < _PORT_END:
                raise InputError(f"--k8s-helm-expose is the number of a port, found {port}")


def workload_chart(workload: Workload) -> Chart:
    """Make the chart.

    Raises:
        InputError: a name cannot be one in Kubernetes, two are the same there, or a parameter does not exist.
    """
    name = dns_label(workload.name, "the service", longest=_NAME_MAX)
    parameters = with_defaults(_parameters(workload), workload.settings)
    files = resources.files("bannock.charts").joinpath(_FILES)
    templates = files.joinpath("templates")
    wanted = ["_helpers.tpl", "NOTES.txt", "service.yaml", f"{workload.type.value}.yaml"]
    if workload.type is not WorkloadType.STATEFULSET:
        wanted.append("claims.yaml")
    readme = files.joinpath("README.md").read_text("utf-8")
    for word, text in {
        "NAME": name, "KIND": workload.type.value, "IMAGE": workload.image, "CONFIG_ID": workload.config_id,
        "PARAMETERS": table(parameters),
    }.items():  # fmt: skip
        readme = readme.replace(f"@{word}@", text)
    return Chart(
        name=name,
        files={
            "Chart.yaml": _description(name, workload),
            "values.yaml": values_text(parameters),
            "values.schema.json": schema_text(parameters),
            "README.md": readme,
            **{f"templates/{each}": templates.joinpath(each).read_text("utf-8") for each in wanted},
        },
    )


def _description(name: str, workload: Workload) -> str:
    fields = {
        "apiVersion": "v2",
        "name": name,
        "description": f"{workload.name}, a protected application",
        "type": "application",
        "version": _VERSION,
    }
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items())


def _parameters(workload: Workload) -> list[Parameter]:
    return [*_of_image(workload), *_of_attestation(workload), *_of_type(workload), *_of_pod(), *_volumes(workload)]


def _of_image(workload: Workload) -> list[Parameter]:
    return [
        Parameter(path="image", default=workload.image, about="the protected image"),
        Parameter(
            path="imagePullPolicy",
            default="IfNotPresent",
            about="when the image is pulled",
            choices=("IfNotPresent", "Always", "Never"),
        ),
        Parameter(
            path="imagePullSecrets", default=[], about="names of secrets that have logins of registries: - name: NAME"
        ),
        Parameter(path="nameOverride", default="", about="another name of the chart"),
        Parameter(path="fullnameOverride", default="", about="another name of everything in it"),
    ]


def _of_attestation(workload: Workload) -> list[Parameter]:
    las = workload.las or ""
    return [
        Parameter(
            path="scone.configId", default=workload.config_id, about="session and service that the program is given"
        ),
        Parameter(path="scone.cas", default=workload.cas or "", about="address of the CAS; empty: what the image has"),
        Parameter(path="scone.casKey", default=workload.cas_key or "", about="hash of the key of the CAS (likewise)"),
        Parameter(
            path="scone.las",
            default=las if las and not _of_this_machine(las) else "",
            about="address of the LAS; empty: the node that the container is on",
        ),
        Parameter(path="scone.log", default="", about="level of the runtime's log; empty: what the image has"),
        Parameter(
            path="scone.mount",
            default="memory",
            about="how protected directories come under the application",
            choices=("memory", "fuse"),
        ),
        Parameter(
            path="scone.fuseResource",
            default="",
            about="for fuse: resource of a device plugin that gives /dev/fuse; empty: the container is privileged",
        ),
        Parameter(
            path="scone.appArmor",
            default="Unconfined",
            about="AppArmor profile of the container where nodes have it; RuntimeDefault forbids mounts; empty: none",
        ),
    ]


def _of_type(workload: Workload) -> list[Parameter]:
    made = [
        Parameter(path="program", default=workload.program, about="the program that starts as an enclave"),
        Parameter(path="args", default=[], about="its arguments, which the session takes as @@1, @@2, ..."),
    ]
    if workload.type in {WorkloadType.DEPLOYMENT, WorkloadType.STATEFULSET}:
        made.append(Parameter(path="replicaCount", default=1, about="how many containers run"))
    if workload.type is WorkloadType.JOB:
        made += [
            Parameter(path="job.backoffLimit", default=3, about="how often a job that failed is tried again"),
            Parameter(path="job.completions", default=1, about="how many runs have to end well"),
            Parameter(path="job.parallelism", default=1, about="how many of them run at the same time"),
        ]
    return [
        *made,
        Parameter(path="service.enabled", default=bool(workload.ports), about="whether others reach the application"),
        Parameter(
            path="service.type",
            default="ClusterIP",
            about="from where",
            choices=("ClusterIP", "NodePort", "LoadBalancer"),
        ),
        Parameter(path="service.ports", default=list(workload.ports), about="at which ports"),
    ]


def _of_pod() -> list[Parameter]:
    return [
        Parameter(path="extraEnv", default=[], about="more variables of the container; the application sees none"),
        Parameter(path="resources", default={}, about="requests and limits of the container"),
        Parameter(path="livenessProbe", default={}, about="when the container is started anew"),
        Parameter(
            path="readinessProbe",
            default={},
            about="when it gets requests; empty: once its first port takes connections",
        ),
        Parameter(path="podAnnotations", default={}, about="annotations of pods"),
        Parameter(path="podLabels", default={}, about="labels of pods"),
        Parameter(path="podSecurityContext", default={}, about="security context of pods"),
        Parameter(path="securityContext", default={}, about="more of the container's security context"),
        Parameter(path="serviceAccountName", default="", about="account that pods run by"),
        Parameter(path="nodeSelector", default={}, about="labels of nodes that pods run on"),
        Parameter(path="tolerations", default=[], about="taints of nodes that pods tolerate"),
        Parameter(path="affinity", default={}, about="which nodes and pods they are near"),
    ]


def _volumes(workload: Workload) -> list[Parameter]:
    made: dict[str, Any] = {}
    parameters = []
    for volume in workload.volumes:
        name = dns_label(volume.name, "the volume", longest=_VOLUME_NAME_MAX)
        if name in made:
            raise InputError(f"the volumes {made[name]} and {volume.name} have one name in Kubernetes, {name}")
        made[name] = volume.name
        kind = "encrypted by the application" if volume.protected else "NOT encrypted, NOT protected"
        parameters += _volume(f"volumes.{name}", volume, kind)
    return parameters or [Parameter(path="volumes", default={}, about="directories that are volumes: none")]


def _volume(path: str, volume: ChartVolume, kind: str) -> list[Parameter]:
    persistence = f"{path}.persistence"
    return [
        Parameter(
            path=f"{path}.mountPath", default=volume.path, about=f"where {volume.name} is in containers ({kind})"
        ),
        Parameter(path=f"{persistence}.enabled", default=False, about="whether it outlives its pod"),
        Parameter(path=f"{persistence}.existingClaim", default="", about="a claim that is there; empty: a new one"),
        Parameter(
            path=f"{persistence}.storageClass", default="", about="of a new claim; empty: the cluster's default"
        ),
        Parameter(path=f"{persistence}.accessModes", default=["ReadWriteOnce"], about="of a new claim"),
        Parameter(path=f"{persistence}.size", default="1Gi", about="of a new claim"),
    ]


def _of_this_machine(las: str) -> bool:
    """Whether an address names the machine that a container is on, which it has other words for in a cluster."""
    return las.startswith(("localhost", "127.", "[::1]", "unix:", "172.17.0.1"))


def ports_of(texts: Sequence[str]) -> tuple[int, ...]:
    """Read ports of options.

    Raises:
        InputError: one is no number.
    """
    for text in texts:
        if not text.isascii() or not text.isdigit():
            raise InputError(f"--k8s-helm-expose is the number of a port, found {text[:80]!r}")
    return tuple(dict.fromkeys(map(int, texts)))
