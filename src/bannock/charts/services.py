"""The charts of what a cluster needs: CAS, LAS and the device plugin. Their parameters, and the files with them.

Templates are files of this package; what follows from the parameters (``values.yaml``, its schema and the table of the
README) is written beside them by ``scripts/write-charts.py``. Pure but for reading those files.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

from bannock.charts.chart import Chart
from bannock.charts.parameters import Parameter, schema_text, table, values_text
from bannock.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from importlib.resources.abc import Traversable

__all__ = ["DEVICES", "SERVICES", "generated", "parameters_of", "service_chart"]

_FILES: Final = "services"
_README: Final = "README.md"
_TABLE: Final = "## Parameters\n\n"
#: Words of ``useSGXDevPlugin``: the first three are of SCONE's charts.
DEVICES: Final = ("scone", "azure", "none", "tdx", "sev-snp", "tpm")

_NAMES: Final = (
    Parameter(path="nameOverride", default="", about="in place of the chart's name"),
    Parameter(path="fullnameOverride", default="", about="in place of the names of release and chart"),
)
_POD: Final = (
    Parameter(path="podAnnotations", default={}, about="annotations of pods"),
    Parameter(path="podLabels", default={}, about="labels of pods"),
    Parameter(path="nodeSelector", default={}, about="labels of nodes that pods run on; read as a template"),
    Parameter(path="tolerations", default=[], about="taints of nodes that pods tolerate"),
    Parameter(path="affinity", default={}, about="which nodes and pods they are near"),
)
_OF_SERVICES: Final = (
    Parameter(
        path="useSGXDevPlugin",
        default="scone",
        about="what vouches for it, as a resource of a device plugin",
        choices=DEVICES,
    ),
    Parameter(path="sgxEpcMem", default="16Mi", about="for useSGXDevPlugin=azure: how much enclave memory"),
    Parameter(path="resources", default={}, about="requests and limits of the container, beside that"),
    Parameter(
        path="mode",
        default="auto",
        about="whether it starts without hardware (sim looks for none)",
        choices=("auto", "hw", "sim"),
    ),
    Parameter(path="extraArgs", default=[], about="more arguments of the program"),
    Parameter(path="extraEnv", default=[], about="more variables of the container"),
    Parameter(path="extraVolumes", default=[], about="more volumes of the pod"),
    Parameter(path="extraVolumeMounts", default=[], about="where they are in the container"),
    Parameter(path="serviceAccountName", default="", about="account that pods run by"),
    Parameter(path="podSecurityContext", default={}, about="more of the pod's security context"),
    Parameter(path="securityContext", default={}, about="more of the container's security context"),
)
_CAS: Final = (
    Parameter(path="replicas", default=1, about="how many pods; more than one need PostgreSQL"),
    Parameter(path="workers", default=1, about="processes in each pod"),
    Parameter(path="logFormat", default="text", about="of the log", choices=("text", "json")),
    Parameter(
        path="provisioning",
        default="optional",
        about="whether it serves before somebody owns it",
        choices=("optional", "required"),
    ),
    Parameter(
        path="service.type",
        default="ClusterIP",
        about="how it is reached",
        choices=("ClusterIP", "NodePort", "LoadBalancer"),
    ),
    Parameter(path="service.clientPort", default=8081, about="where clients reach it"),
    Parameter(path="service.enclavePort", default=18765, about="where services reach it"),
    Parameter(path="service.loadBalancerIP", default="", about="address of the load balancer; empty: what it gets"),
    Parameter(path="service.nodePorts.clientPort", default=0, about="port of nodes for clients; 0: what it gets"),
    Parameter(path="service.nodePorts.enclavePort", default=0, about="port of nodes for services; 0: what it gets"),
    Parameter(path="service.annotations", default={}, about="annotations of the service"),
    Parameter(path="persistence.enabled", default=False, about="whether its database outlives its pod"),
    Parameter(path="persistence.existingClaim", default="", about="a claim that is there; empty: a new one"),
    Parameter(
        path="persistence.storageClass",
        default="",
        about="of a new claim; empty: the cluster's default, -: no dynamic provisioning",
    ),
    Parameter(path="persistence.accessModes", default=["ReadWriteOnce"], about="of a new claim"),
    Parameter(path="persistence.size", default="1Gi", about="of a new claim"),
    Parameter(
        path="postgresql.url", default="", about="postgresql://USER@HOST/DATABASE without password; empty: a file"
    ),
    Parameter(path="postgresql.passwordSecret", default="", about="secret that has the password of that user"),
    Parameter(path="postgresql.passwordKey", default="password", about="its key in there"),
    Parameter(path="masterKey.secret", default="", about="secret that has the master key; empty: it makes one itself"),
    Parameter(path="masterKey.key", default="master.key", about="its key in there"),
    Parameter(
        path="acceptRollback",
        default=False,
        about="whether it takes a database that no replica has a counter of: for one start, after a loss",
    ),
    Parameter(path="certificate.names", default=[], about="names in its certificate beside those of the service"),
    Parameter(path="certificate.addresses", default=[], about="IP addresses in its certificate"),
    Parameter(path="attestation.las", default="", about="LAS that gives evidence of it; empty: it does so itself"),
    Parameter(path="metrics.enabled", default=False, about="whether it counts for Prometheus"),
    Parameter(path="metrics.port", default=9464, about="where it tells"),
    Parameter(path="extraConfig", default="", about="more sections of its configuration, TOML"),
    Parameter(path="terminationGracePeriodSeconds", default=30, about="how long it may take to stop"),
)
_LAS: Final = (
    Parameter(path="service.hostPort", default=18766, about="port of nodes that services reach it at"),
    Parameter(path="statePath", default="/var/lib/bannock-las", about="directory of nodes that has its key"),
    Parameter(
        path="simulate",
        default="none",
        about="platform that it rehearses",
        choices=("none", "sgx", "tdx", "sev-snp", "tpm"),
    ),
    Parameter(
        path="appArmor", default="Unconfined", about="AppArmor profile where nodes have it; empty: the default one"
    ),
)
_PLUGIN: Final = (
    Parameter(path="maxSGXPods", default=110, about="how many containers of a node may have a device"),
    Parameter(path="labelNodes", default=True, about="whether nodes get labels by what they have"),
    Parameter(path="kubeletPath", default="/var/lib/kubelet", about="directory of the kubelet on nodes"),
    Parameter(path="priorityClassName", default="system-node-critical", about="priority of its pods"),
    Parameter(path="resources", default={}, about="requests and limits of the container"),
    Parameter(path="extraArgs", default=[], about="more arguments of the program"),
)


def _image(name: str) -> tuple[Parameter, ...]:
    return (
        Parameter(path="image", default=f"bannock-{name}", about="image of the container"),
        Parameter(
            path="imagePullPolicy",
            default="IfNotPresent",
            about="when nodes pull it",
            choices=("Always", "IfNotPresent", "Never"),
        ),
        Parameter(path="imagePullSecrets", default=[], about="secrets to pull it with: [{name: NAME}]"),
    )


#: Chart → its parameters.
SERVICES: Final[Mapping[str, tuple[Parameter, ...]]] = {
    "cas": (*_image("cas"), *_NAMES, *_CAS, *_OF_SERVICES, *_POD),
    "las": (*_image("las"), *_NAMES, *_LAS, *_OF_SERVICES, *_POD),
    "sgxdevplugin": (*_image("sgxdevplugin"), *_NAMES, *_PLUGIN, *_POD),
}


def parameters_of(name: str) -> Sequence[Parameter]:
    """Return the parameters of a chart.

    Raises:
        NotFoundError: there is no such chart.
    """
    if name not in SERVICES:
        raise NotFoundError(f"there is no chart {name[:80]}", hint=f"there are: {', '.join(sorted(SERVICES))}")
    return SERVICES[name]


def generated(name: str) -> dict[str, str]:
    """Return the files of a chart that follow from its parameters: path in the chart → text.

    Raises:
        NotFoundError: there is no such chart.
    """
    parameters = parameters_of(name)
    head, _, _ = _directory(name).joinpath(_README).read_text("utf-8").partition(_TABLE)
    return {
        "values.yaml": values_text(parameters),
        "values.schema.json": schema_text(parameters),
        _README: f"{head}{_TABLE}{table(parameters)}",
    }


def service_chart(name: str) -> Chart:
    """Return a chart.

    Raises:
        NotFoundError: there is no such chart.
    """
    # Layers of images have no JSON of packages, so what can be made is not read.
    made = generated(name)
    read = {path: file.read_text("utf-8") for path, file in _files(_directory(name), "") if path not in made}
    return Chart(name=name, files={**read, **made})


def _directory(name: str) -> Traversable:
    return resources.files("bannock.charts").joinpath(_FILES, name)


def _files(directory: Traversable, above: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(directory.iterdir(), key=lambda each: each.name):
        path = f"{above}{entry.name}"
        if entry.is_dir():
            yield from _files(entry, f"{path}/")
        else:
            yield path, entry
