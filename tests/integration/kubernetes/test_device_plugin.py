"""The device plugin and a kubelet: registration, devices, their health, and restarts, over the real sockets."""

from __future__ import annotations

import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest

from bannock.errors import EnvironmentFault
from bannock.kubernetes.device_plugin.plugin import DevicePlugin
from bannock.kubernetes.device_plugin.resources import resources_named
from tests.kubelet import Kubelet, message

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_POLL = 0.05


@pytest.fixture
def directory() -> Iterator[Path]:
    """Give a directory of a kubelet; names of sockets are short."""
    with tempfile.TemporaryDirectory(prefix="k8s-") as path:
        yield Path(path)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Give a node without devices."""
    return Node(tmp_path / "node")


class Node:
    """Where a node has its devices; each is a link to one that every machine has."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, *devices: str) -> None:
        """Give it devices."""
        for device in devices:
            path = self.root / device[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to("/dev/null")

    def remove(self, device: str) -> None:
        """Take one away."""
        (self.root / device[1:]).unlink()


class Labels:
    """Keeps what it is told; its cluster is away at first."""

    def __init__(self) -> None:
        self.told: list[set[str]] = []
        self.is_there = threading.Event()

    def label(self, platforms: Collection[str]) -> None:
        """Keep it."""
        if not self.is_there.is_set():
            raise EnvironmentFault("the cluster is away")
        self.told.append(set(platforms))


@contextmanager
def _running(directory: Path, node: Node, *resources: str, labels: Labels | None = None) -> Iterator[None]:
    plugin = DevicePlugin(
        directory=directory, root=node.root, count=3, resources=resources_named(resources), labeller=labels
    )
    ended = threading.Event()
    thread = threading.Thread(target=plugin.run, args=(ended, _POLL))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)
        assert not thread.is_alive()
    assert not [path for path in directory.iterdir() if path.name != "kubelet.sock"]


def _asked(*containers: list[str]) -> object:
    requests = [message("ContainerAllocateRequest", devices_ids=names) for names in containers]
    return message("AllocateRequest", container_requests=requests)


def test_a_node_with_sgx_offers_what_it_has(directory: Path, node: Node) -> None:
    """Each resource is registered at a socket of its own; what the node has not got is not."""
    node.add("/dev/sgx_enclave", "/dev/sgx_provision", "/dev/fuse")
    with Kubelet(directory) as kubelet, _running(directory, node):
        found = kubelet.registrations(5)
        assert set(found) == {
            "sgx.intel.com/enclave",
            "sgx.k8s.io/sgx",
            "sgx.k8s.io/dcap",
            "sgx.intel.com/provision",
            "bannock.dev/fuse",
        }
        assert kubelet.registered.empty()
        endpoint = found["sgx.k8s.io/dcap"].endpoint
        options = kubelet.call(endpoint, "GetDevicePluginOptions", message("Empty"), "DevicePluginOptions")
        assert not options.pre_start_required
        devices = kubelet.watch(endpoint).next()
        assert devices == {"dcap-0": "Healthy", "dcap-1": "Healthy", "dcap-2": "Healthy"}
        answer = kubelet.call(endpoint, "Allocate", _asked(["dcap-1"], ["dcap-0"]), "AllocateResponse")
        assert [
            [(each.host_path, each.container_path, each.permissions) for each in container.devices]
            for container in answer.container_responses
        ] == [
            [("/dev/sgx_enclave", "/dev/sgx_enclave", "rw"), ("/dev/sgx_provision", "/dev/sgx_provision", "rw")]
        ] * 2  # fmt: skip


def test_older_drivers_and_other_platforms(directory: Path, node: Node) -> None:
    """A device has the name that the node has for it; a guest gives the directory of its quotes, too."""
    node.add("/dev/isgx", "/dev/sev-guest")
    (node.root / "sys/kernel/config/tsm").mkdir(parents=True)
    with Kubelet(directory) as kubelet, _running(directory, node):
        found = kubelet.registrations(4)
        assert set(found) == {"sgx.intel.com/enclave", "sgx.k8s.io/sgx", "sgx.k8s.io/ias", "amd.com/sev-snp"}
        for resource, name, device, mounts in (
            ("sgx.k8s.io/sgx", "sgx-0", "/dev/isgx", []),
            ("amd.com/sev-snp", "sev-snp-0", "/dev/sev-guest", ["/sys/kernel/config/tsm"]),
        ):
            answer = kubelet.call(found[resource].endpoint, "Allocate", _asked([name]), "AllocateResponse")
            (container,) = answer.container_responses
            assert [each.host_path for each in container.devices] == [device]
            assert [each.container_path for each in container.mounts] == mounts


def test_health(directory: Path, node: Node) -> None:
    """A device that goes is told and not given to anybody; when it comes back, it is given again."""
    node.add("/dev/tpmrm0")
    with Kubelet(directory) as kubelet, _running(directory, node, "bannock.dev/tpm"):
        endpoint = kubelet.registrations(1)["bannock.dev/tpm"].endpoint
        watch = kubelet.watch(endpoint)
        assert set((watch.next() or {}).values()) == {"Healthy"}
        node.remove("/dev/tpmrm0")
        assert set((watch.next() or {}).values()) == {"Unhealthy"}
        with pytest.raises(grpc.RpcError, match=r"has no device for bannock\.dev/tpm any more"):
            kubelet.call(endpoint, "Allocate", _asked(["tpm-0"]), "AllocateResponse")
        node.add("/dev/tpmrm0")
        assert set((watch.next() or {}).values()) == {"Healthy"}
        kubelet.call(endpoint, "Allocate", _asked(["tpm-0"]), "AllocateResponse")


def test_a_device_that_comes_later(directory: Path, node: Node) -> None:
    """A driver that is loaded after the plugin has started is found."""
    with Kubelet(directory) as kubelet, _running(directory, node, "bannock.dev/fuse"):
        threading.Event().wait(3 * _POLL)
        assert kubelet.registered.empty()
        node.add("/dev/fuse")
        assert set(kubelet.registrations(1)) == {"bannock.dev/fuse"}


def test_restart_of_the_kubelet(directory: Path, node: Node) -> None:
    """It has forgotten everything and removed the sockets: the plugin registers anew, also if it came first."""
    node.add("/dev/fuse", "/dev/tdx_guest")
    with _running(directory, node, "bannock.dev/fuse", "intel.com/tdx"):
        for _ in range(3):
            with Kubelet(directory) as kubelet:
                found = kubelet.registrations(2)
                for resource in found.values():
                    assert len(kubelet.watch(resource.endpoint).next() or {}) == 3


def test_a_socket_that_somebody_removes_is_made_anew(directory: Path, node: Node) -> None:
    """The kubelet could not ask the plugin any more, and nobody would notice."""
    node.add("/dev/fuse")
    with Kubelet(directory) as kubelet, _running(directory, node, "bannock.dev/fuse"):
        endpoint = kubelet.registrations(1)["bannock.dev/fuse"].endpoint
        (directory / endpoint).unlink()
        assert kubelet.registrations(1)["bannock.dev/fuse"].endpoint == endpoint
        assert len(kubelet.watch(endpoint).next() or {}) == 3


def test_a_refusal_is_of_one_resource(directory: Path, node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """The others are served; it is told once, and taken as soon as the kubelet takes it."""
    node.add("/dev/fuse", "/dev/tpm0")
    kubelet = Kubelet(directory)
    kubelet.refused.add("bannock.dev/tpm")
    with kubelet, _running(directory, node, "bannock.dev/tpm", "bannock.dev/fuse"):
        assert set(kubelet.registrations(1)) == {"bannock.dev/fuse"}
        _until(lambda: bool(caplog.records))
        threading.Event().wait(5 * _POLL)
        assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
            "the kubelet does not take the resource bannock.dev/tpm: the resource bannock.dev/tpm is not wanted"
        ]
        kubelet.refused.clear()
        assert set(kubelet.registrations(1)) == {"bannock.dev/tpm"}


def test_requests_that_cannot_be(directory: Path, node: Node) -> None:
    """A device that was never offered, and bytes that are no message, are refused; the plugin goes on."""
    node.add("/dev/fuse")
    with Kubelet(directory) as kubelet, _running(directory, node, "bannock.dev/fuse"):
        endpoint = kubelet.registrations(1)["bannock.dev/fuse"].endpoint
        with pytest.raises(grpc.RpcError, match="has no device fuse-3"):
            kubelet.call(endpoint, "Allocate", _asked(["fuse-0", "fuse-3"]), "AllocateResponse")
        with grpc.insecure_channel(f"unix:{directory}/{endpoint}") as channel:
            ask: Any = channel.unary_unary("/v1beta1.DevicePlugin/Allocate")
            for garbage in (b"\x0a\xff", b"\x0b", b"\x80" * 11, b"\x0a\x03\x0a\x01\xff"):
                with pytest.raises(grpc.RpcError) as refused:
                    ask(garbage, timeout=10)
                assert cast("Any", refused.value).code() is grpc.StatusCode.INVALID_ARGUMENT
        kubelet.call(endpoint, "Allocate", _asked(["fuse-0"]), "AllocateResponse")


def test_labels_follow_the_devices(directory: Path, node: Node) -> None:
    """A cluster that is away is asked again, and devices are served meanwhile."""
    node.add("/dev/sgx_enclave", "/dev/fuse")
    labels = Labels()
    with Kubelet(directory) as kubelet, _running(directory, node, "bannock.dev/fuse", labels=labels):
        kubelet.registrations(1)
        labels.is_there.set()
        _until(lambda: labels.told == [{"sgx"}])
        node.add("/dev/tpm0")
        _until(lambda: labels.told[1:] == [{"sgx", "tpm"}])
        node.remove("/dev/sgx_enclave")
        _until(lambda: labels.told[2:] == [{"tpm"}])


def _until(condition: object) -> None:
    assert callable(condition)
    for _ in range(200):
        if condition():
            return
        threading.Event().wait(_POLL)
    raise AssertionError("it did not come to that")


def test_no_directory_of_a_kubelet(tmp_path: Path) -> None:
    """A machine that is no node is told so, and nothing is made there."""
    plugin = DevicePlugin(directory=tmp_path / "device-plugins", root=tmp_path, count=1)
    with pytest.raises(EnvironmentFault, match="there is no directory"):
        plugin.run(threading.Event())
    assert not list(tmp_path.iterdir())
