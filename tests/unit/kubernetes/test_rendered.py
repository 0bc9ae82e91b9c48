"""Reading what helm makes of charts: what one machine can do, and what it says of the rest."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from bannock.errors import InputError, NotFoundError
from bannock.kubernetes.local.environment import environment_of, expanded
from bannock.kubernetes.local.place import Place, require_name
from bannock.kubernetes.local.pod import Pod, Surroundings
from bannock.kubernetes.local.quantities import billionths_of, bytes_of
from bannock.kubernetes.local.rendered import Rendered, read_rendered
from bannock.kubernetes.local.settings import container_settings, published
from bannock.kubernetes.local.volumes import CREATED

_CONTAINER = {"name": "a", "image": "example/a:1"}


def _read(*documents: dict[str, Any] | str) -> Rendered:
    return read_rendered([yaml.safe_load(each) if isinstance(each, str) else each for each in documents], "ns")


def _deployment(container: dict[str, Any], **pod: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [_CONTAINER | container], **pod}}
    return {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": template}}


def _pod(rendered: Rendered) -> Pod:
    surroundings = Surroundings(
        place=Place(name="p"), release="r", namespace="ns", rendered=rendered, node="n", host="10.0.0.1",
        aliases={"cas.scone-system": "10.0.0.1"},
    )  # fmt: skip
    return Pod(name="d-1", workload=rendered.workloads[0], number=0, surroundings=surroundings)


def _settings(container: dict[str, Any], *more: str, **pod: Any) -> dict[str, Any]:
    found = _pod(_read(_deployment(container, **pod), *more))
    return container_settings(found, found.workload.template.containers[0], [])


def test_command_lines_and_variables() -> None:
    """A command takes the place of both of the image's; variables are put in, and $$ is a dollar."""
    env = [
        {"name": "A", "value": "a"}, {"name": "B", "value": "$(A)b $$(A) $(C)"},
        {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "H", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        {"name": "NUMBER", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "NOT", "valueFrom": {"secretKeyRef": {"name": "t", "key": "k", "optional": True}}},
    ]  # fmt: skip
    secret = "kind: Secret\nmetadata: {name: s}\ndata: {k: MTI=}\nstringData: {l: x}\n"
    made = _settings({"command": ["run", "$(B)"], "args": ["$$(A)"], "env": env}, secret)
    assert made["Entrypoint"] == ["run", "ab $(A) $(C)"]
    assert made["Cmd"] == ["$(A)"]
    assert made["Env"] == ["A=a", "B=ab $(A) $(C)", "N=ns", "L=a", "H=10.0.0.1", "NUMBER=12"]
    assert "Entrypoint" not in _settings({"args": ["x"]})


def test_what_is_not_there() -> None:
    """An object, or a key of it, that a variable is of."""
    pod = _pod(_read(_deployment({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]})))
    with pytest.raises(NotFoundError, match="there is no Secret s in the chart"):
        environment_of(pod, pod.workload.template.containers[0])


def test_rights_are_those_of_the_pod() -> None:
    """The container's security context goes before the pod's; without a filter of system calls, there is none."""
    made = _settings(
        {
            "securityContext": {
                "runAsUser": 7, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}, "appArmorProfile": {"type": "Unconfined"},
            }
        },
        securityContext={"runAsUser": 5, "runAsGroup": 6, "fsGroup": 9, "supplementalGroups": [8]},
    )  # fmt: skip
    host = made["HostConfig"]
    assert made["User"] == "7:6"
    assert host["GroupAdd"] == ["8", "9"]
    assert host["SecurityOpt"] == ["no-new-privileges", "seccomp=unconfined", "apparmor=unconfined"]
    assert (host["CapDrop"], host["CapAdd"], host["ReadonlyRootfs"]) == (["ALL"], ["CHOWN"], True)
    made = _settings({}, securityContext={"seccompProfile": {"type": "RuntimeDefault"}})
    assert made["HostConfig"]["SecurityOpt"] == []
    assert _settings({"securityContext": {"privileged": True}})["HostConfig"]["Privileged"]


def test_names_in_the_network() -> None:
    """A pod is called as its services are; others by their aliases."""
    service = "kind: Service\nmetadata: {name: web}\nspec: {selector: {app: a}, ports: [{port: 80}]}\n"
    other = "kind: Service\nmetadata: {name: other}\nspec: {selector: {app: b}, ports: [{port: 80}]}\n"
    made = _settings({}, service, other)
    (network,) = made["NetworkingConfig"]["EndpointsConfig"].values()
    assert network["Aliases"] == ["web.ns", "web.ns.svc", "web.ns.svc.cluster.local"]
    assert made["HostConfig"]["ExtraHosts"] == ["cas.scone-system:10.0.0.1"]
    assert made["HostConfig"]["DnsSearch"][0] == "ns.svc.cluster.local"
    host = _settings({}, service, hostNetwork=True)
    assert host["HostConfig"]["NetworkMode"] == "host"
    assert "NetworkingConfig" not in host


def test_ports_of_this_machine() -> None:
    """What a node would show is shown; a service that turns one port into another cannot be."""
    ports = [{"name": "http", "containerPort": 80}, {"containerPort": 53, "protocol": "UDP", "hostPort": 5353}]
    service = """\
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: a}, ports: [{port: 80, targetPort: http, nodePort: 30080}]}
"""
    pod = _pod(_read(_deployment({"ports": ports}), service))
    assert published(pod) == {"53/udp": [("127.0.0.1", 5353)], "80/tcp": [("127.0.0.1", 30080)]}
    pod = _pod(_read(_deployment({"ports": ports}), service.replace("port: 80,", "port: 8080,")))
    with pytest.raises(InputError, match="the service web has port 8080 for port 80 of its pods"):
        published(pod)


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("h:1/a", "Always"),
        ("a:1", "IfNotPresent"),
        ("a@sha256:0", "IfNotPresent"),
    ],
)
def test_when_images_are_pulled(image: str, policy: str) -> None:
    """As Kubernetes does where the chart does not say."""
    rendered = _read(_deployment({"image": image}))
    assert rendered.workloads[0].template.containers[0].pull == policy


def test_hooks_run_by_their_weight() -> None:
    """And no test of a chart runs with it."""
    hook = """\
kind: Job
metadata: {{name: {0}, annotations: {{helm.sh/hook: "{1}", helm.sh/hook-weight: "{2}"}}}}
spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: b}}]}}}}}}
"""
    rendered = _read(
        hook.format("late", "pre-install,pre-upgrade", 5), hook.format("early", "pre-install", -5),
        hook.format("test", "test", 0), hook.format("after", "post-install", 0),
    )  # fmt: skip
    assert [each.name for each in rendered.at("pre-install")] == ["early", "late"]
    assert [each.name for each in rendered.at("pre-upgrade")] == ["late"]
    assert not rendered.workloads


def test_another_template_is_another_fingerprint() -> None:
    """More pods of the same template are not."""
    first, more, other = (_deployment(container) for container in ({}, {}, {"args": ["x"]}))
    more["spec"]["replicas"] = 3
    prints = [_read(each).workloads[0].fingerprint for each in (first, more, other)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("container", "pod", "expected"),
    [
        ({"lifecycle": {"preStop": {}}}, {}, "Deployment d: spec: template: spec: containers a: lifecycle is"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "x"}]}, {}, "volumeMounts v: subPath is not"),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}, {}, "the field status.p"),
        ({}, {"volumes": [{"name": "v", "projected": {"sources": [1]}}]}, "volumes v: projected is not supported"),
        ({}, {"shareProcessNamespace": True, "runtimeClassName": "x"}, "shareProcessNamespace, runtimeClassName are"),
        ({}, {"initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always"}]}, "restartPolicy is not su"),
        ({}, {"restartPolicy": "Never"}, "restartPolicy is 'Never'; here it can be Always"),
        ({"resources": {"limits": {"nvidia.com/gpu": 1}}}, {}, "the resource nvidia.com/gpu is not supported"),
        ({"image": 7}, {}, "image is not a text, found '7'"),
        ({"resources": {"limits": {"memory": "lots"}}}, {}, "'lots' is no quantity"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named(container: dict[str, Any], pod: dict[str, Any], expected: str) -> None:
    """With its place."""
    with pytest.raises(InputError, match=re.escape(expected)):
        _settings(container, **pod)


def test_amounts() -> None:
    """As Kubernetes writes them."""
    assert [bytes_of(text, "") for text in ("10", "1Ki", "1.5Gi", "2M")] == [10, 1024, 3 << 29, 2_000_000]
    assert [billionths_of(text, "") for text in ("250m", "2", "0.5")] == [250_000_000, 2_000_000_000, 500_000_000]


def test_names() -> None:
    """A release has a name that Kubernetes has, too; it is part of a path here."""
    assert require_name("my-app.x", "a release") == "my-app.x"
    for name in ("", "../x", "A", "-a", "a/b", "a" * 60):
        with pytest.raises(InputError, match="a release is"):
            require_name(name, "a release")


def test_texts_of_variables() -> None:
    """A reference to what is not there stays."""
    assert expanded("$(A) $$ $(B) $A", {"A": "1"}) == "1 $ $(B) $A"


def test_directories_of_this_machine_are_made_by_the_engine() -> None:
    """Whoever asks for one that is not there may have no right to make it; other mounts stay as they are."""
    pod = _pod(_read(_deployment({})))
    mounts = [
        {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True, CREATED: True},
        {"Type": "bind", "Source": "/c", "Target": "/d", "ReadOnly": False},
    ]
    host = container_settings(pod, pod.workload.template.containers[0], mounts)["HostConfig"]
    assert host["Binds"] == ["/a:/b:ro"]
    assert [each["Source"] for each in host["Mounts"]] == ["/c"]
