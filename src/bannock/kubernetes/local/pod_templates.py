"""Reading templates of pods: what one machine can do is taken, anything else is an error. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.kubernetes.local.model import (
    Claim,
    ContainerTemplate,
    EmptyDirectory,
    EnvironmentOf,
    FieldOf,
    HostPath,
    KeyOf,
    Mount,
    ObjectFiles,
    PodTemplate,
    PortOf,
    Probe,
    Security,
    Variable,
)
from bannock.kubernetes.local.quantities import bytes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.kubernetes.local.fields import ObjectFields
    from bannock.kubernetes.local.model import Volume

__all__ = ["parse_template"]

#: Where pods run, and with which rights at an API that is not there.
_OF_CLUSTERS: Final = (
    "serviceAccount", "automountServiceAccountToken", "imagePullSecrets", "nodeSelector", "nodeName", "affinity",
    "tolerations", "topologySpreadConstraints", "priorityClassName", "priority", "preemptionPolicy", "schedulerName",
    "dnsPolicy", "enableServiceLinks",
)  # fmt: skip
_OF_KUBELETS: Final = ("livenessProbe", "terminationMessagePath", "terminationMessagePolicy")
_GRACE_SECONDS: Final = 30
_FILE_MODE: Final = 0o644
_MODE_MAX: Final = 0o777
_PROPAGATIONS: Final = {"None": "", "HostToContainer": "rslave", "Bidirectional": "rshared"}
_HOST_PATHS: Final = (
    "", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket", "CharDevice", "BlockDevice",
)  # fmt: skip
_KEYED_FIELD: Final = re.compile(r"metadata\.(labels|annotations)\['[^']+'\]")
_FIELDS: Final = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
)  # fmt: skip


def parse_template(fields: ObjectFields, *, restart: tuple[str, ...]) -> PodTemplate:
    """Read a template: ``metadata`` and ``spec`` of pods.

    Args:
        fields: of the template.
        restart: policies that its pods may have, the default one first.

    Raises:
        InputError: it is none, or has something that one machine does not do.
    """
    about, spec = fields.child("metadata"), fields.child("spec")
    spec.pass_over(*_OF_CLUSTERS)
    security = spec.child("securityContext")
    pod = _security(security)
    file_group = security.number("fsGroup")
    sysctls = {each.text("name", None): each.text("value") for each in security.children("sysctls")}
    security.pass_over("fsGroupChangePolicy", "supplementalGroupsPolicy")
    security.done()
    aliases = {
        name: each.text("ip", None) for each in spec.children("hostAliases") for name in each.texts("hostnames")
    }
    template = PodTemplate(
        labels=about.mapping("labels"),
        annotations=about.mapping("annotations"),
        first=tuple(_container(each, pod, first=True) for each in spec.children("initContainers")),
        containers=tuple(_container(each, pod, first=False) for each in spec.children("containers")),
        volumes={each.text("name", None): _volume(each) for each in spec.children("volumes")},
        restart=spec.choice("restartPolicy", *restart),
        account=spec.text("serviceAccountName", "default"),
        hostname=spec.text("hostname"),
        host_network=spec.flag("hostNetwork") is True,
        host_processes=spec.flag("hostPID") is True,
        host_ipc=spec.flag("hostIPC") is True,
        grace=spec.count("terminationGracePeriodSeconds", _GRACE_SECONDS),
        file_group=file_group,
        aliases=aliases,
        sysctls=sysctls,
    )
    spec.done()
    if not template.containers:
        raise InputError(f"{spec.where} has no containers")
    return template


def _container(fields: ObjectFields, pod: Security, *, first: bool) -> ContainerTemplate:
    fields.pass_over(*_OF_KUBELETS)
    image = fields.text("image", None)
    resources = fields.child("resources")
    limits = resources.mapping("requests") | resources.mapping("limits")
    requested = resources.mapping("requests").keys() - resources.mapping("limits").keys()
    resources.done()
    probes = tuple(probe for name in ("startupProbe", "readinessProbe") for probe in _probe(fields, name))
    container = ContainerTemplate(
        name=fields.text("name", None),
        image=image,
        pull=fields.choice("imagePullPolicy", _pull(image), "Always", "IfNotPresent", "Never"),
        command=fields.texts("command"),
        arguments=fields.texts("args"),
        directory=fields.text("workingDir"),
        variables=(*_environments(fields), *_variables(fields)),
        ports=tuple(_port(each) for each in fields.children("ports")),
        mounts=tuple(_mount(each) for each in fields.children("volumeMounts")),
        # What a container asks for and may have more of is no limit, but for devices: those it gets.
        limits={name: value for name, value in limits.items() if name not in requested or "/" in name},
        security=_security(fields.child("securityContext"), pod, last=True),
        probes=() if first else probes,
        terminal=fields.flag("tty") is True,
        stdin=fields.flag("stdin") is True,
    )
    fields.done()
    return container


def _pull(image: str) -> str:
    """Return what Kubernetes does where nothing is said."""
    last = image.rpartition("/")[2]
    return "IfNotPresent" if "@" in last or (":" in last and not last.endswith(":latest")) else "Always"


def _environments(fields: ObjectFields) -> Iterator[EnvironmentOf]:
    for each in fields.children("envFrom"):
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if field in each:
                source = each.child(field)
                yield EnvironmentOf(
                    kind=kind,
                    name=source.text("name", None),
                    prefix=each.text("prefix"),
                    optional=source.flag("optional") is True,
                )
        each.done()


def _variables(fields: ObjectFields) -> Iterator[Variable]:
    for each in fields.children("env"):
        source = each.child("valueFrom")
        found: KeyOf | FieldOf | None = None
        for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if field in source:
                key = source.child(field)
                found = KeyOf(
                    kind=kind,
                    name=key.text("name", None),
                    key=key.text("key", None),
                    optional=key.flag("optional") is True,
                )
        if "fieldRef" in source:
            field_of = source.child("fieldRef")
            field_of.pass_over("apiVersion")
            found = FieldOf(path=_known_field(field_of.text("fieldPath", None), field_of.where))
            field_of.done()
        source.done()
        yield Variable(name=each.text("name", None), value=each.text("value"), source=found)
        each.done()


def _known_field(path: str, where: str) -> str:
    if path not in _FIELDS and not _KEYED_FIELD.fullmatch(path):
        raise InputError(
            f"{where}: the field {path[:80]} is not known before a container starts on the local engine",
            hint=f"those that are: {', '.join(_FIELDS)}, metadata.labels['NAME'], metadata.annotations['NAME']",
        )
    return path


def _port(fields: ObjectFields) -> PortOf:
    port = PortOf(
        name=fields.text("name"),
        number=fields.count("containerPort", 0),
        protocol=fields.choice("protocol", "TCP", "UDP").lower(),
        host=fields.count("hostPort", 0),
        address=fields.text("hostIP"),
    )
    fields.done()
    return port


def _mount(fields: ObjectFields) -> Mount:
    mount = Mount(
        volume=fields.text("name", None),
        path=fields.text("mountPath", None),
        read_only=fields.flag("readOnly") is True,
        propagation=_PROPAGATIONS[fields.choice("mountPropagation", *_PROPAGATIONS)],
    )
    fields.pass_over("recursiveReadOnly")
    fields.done()
    return mount


def _probe(fields: ObjectFields, name: str) -> Iterator[Probe]:
    if name not in fields:
        return
    probe = fields.child(name)
    probe.pass_over("initialDelaySeconds", "periodSeconds", "successThreshold", "failureThreshold")
    probe.pass_over("terminationGracePeriodSeconds")
    seconds = probe.count("timeoutSeconds", 1)
    if "httpGet" in probe:
        http = probe.child("httpGet")
        http.pass_over("host", "httpHeaders")
        kind = http.choice("scheme", "HTTP", "HTTPS").lower()
        yield Probe(kind=kind, port=str(http.raw("port")), path=http.text("path", "/"), seconds=seconds)
        http.done()
    elif "tcpSocket" in probe:
        yield Probe(kind="tcp", port=str(probe.child("tcpSocket").raw("port")), seconds=seconds)
    elif "exec" in probe:
        yield Probe(kind="exec", command=probe.child("exec").texts("command"), seconds=seconds)
    probe.done()


def _security(fields: ObjectFields, pod: Security | None = None, *, last: bool = False) -> Security:
    """Read a security context; a container's goes before that of its pod."""
    above = pod or Security()
    user, group, not_root = fields.number("runAsUser"), fields.number("runAsGroup"), fields.flag("runAsNonRoot")
    capabilities, seccomp = fields.child("capabilities"), fields.child("seccompProfile")
    escalation = fields.flag("allowPrivilegeEscalation")
    found = Security(
        user=above.user if user is None else user,
        group=above.group if group is None else group,
        not_root=above.not_root if not_root is None else not_root,
        groups=above.groups
        or tuple(int(each) for each in fields.raw("supplementalGroups") or () if str(each).isdigit()),
        privileged=fields.flag("privileged") is True,
        no_new_privileges=escalation is False,
        read_only=fields.flag("readOnlyRootFilesystem") is True,
        add=capabilities.texts("add"),
        drop=capabilities.texts("drop"),
        seccomp=seccomp.choice("type", "", "RuntimeDefault", "Unconfined") or above.seccomp,
        app_armor=_app_armor(fields) or above.app_armor,
    )
    for each in (capabilities, seccomp):
        each.done()
    if last:
        fields.done()
    return found


def _app_armor(fields: ObjectFields) -> str:
    """Return the name of a profile as engines call it."""
    profile = fields.child("appArmorProfile")
    kind = profile.choice("type", "", "RuntimeDefault", "Unconfined", "Localhost")
    named = profile.text("localhostProfile")
    profile.done()
    return {"": "", "RuntimeDefault": "", "Unconfined": "unconfined", "Localhost": named}[kind]


def _volume(fields: ObjectFields) -> Volume:
    fields.pass_over("name")
    found: Volume | None = None
    if fields.raw("emptyDir") is not None:
        empty = fields.child("emptyDir")
        size = empty.raw("sizeLimit")
        found = EmptyDirectory(
            in_memory=empty.choice("medium", "", "Memory") == "Memory",
            size=0 if size is None else bytes_of(str(size), empty.where),
        )
        empty.done()
    elif "hostPath" in fields:
        host = fields.child("hostPath")
        found = HostPath(path=host.text("path", None), type=host.choice("type", *_HOST_PATHS))
        host.done()
    elif "configMap" in fields:
        found = _files(fields.child("configMap"), "ConfigMap", "name")
    elif "secret" in fields:
        found = _files(fields.child("secret"), "Secret", "secretName")
    elif "persistentVolumeClaim" in fields:
        claim = fields.child("persistentVolumeClaim")
        found = Claim(name=claim.text("claimName", None), read_only=claim.flag("readOnly") is True)
        claim.done()
    fields.done()
    if found is None:
        raise InputError(f"{fields.where} says nothing of where it is")
    return found


def _files(fields: ObjectFields, kind: str, name: str) -> ObjectFiles:
    mode = fields.count("defaultMode", _FILE_MODE) & _MODE_MAX
    items = None
    if "items" in fields:
        items = {
            each.text("key", None): (each.text("path", None), each.count("mode", mode) & _MODE_MAX)
            for each in fields.children("items")
        }
    found = ObjectFiles(
        kind=kind, name=fields.text(name, None), items=items, mode=mode, optional=fields.flag("optional") is True
    )
    fields.done()
    return found
