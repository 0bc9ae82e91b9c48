"""The charts of CAS, LAS and device plugin on the local engine: their pods run with just what they are allowed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.kubernetes.device_plugin.resources import RESOURCES, found
from bannock.kubernetes.local.place import Place
from tests.charts import HELM_PATH, needs_helm
from tests.kubelet import Kubelet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.containers import Engine
    from tests.curated_images import CuratedImages

_CHARTS = Path(__file__).parents[2] / "charts"
_SIMULATED = "--set mode=sim --set useSGXDevPlugin=none"
#: Which software it is, other tests look at.
_TOLERATED = "--only_for_testing-debug --only_for_testing-ignore-signer --only_for_testing-trust-any"

pytestmark = [pytest.mark.docker, pytest.mark.root, needs_helm]


class Laptop:
    """A shell with stand-ins for kubectl and helm, of a user with a home of one's own."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        home = directory / "home"
        home.mkdir()
        self.environment = {**engine.environment, "HOME": str(home), "PATH": HELM_PATH}
        self.environment.pop("BANNOCK_HOME", None)
        self.environment |= {"SGX_TOLERATIONS": _TOLERATED, "DOCKER_CONFIG": str(directory)}
        self.label = Place.of(home / ".config" / "bannock").label

    def run(self, script: str, code: int = 0) -> str:
        """Run lines; give what they print."""
        bannock = f"{sys.executable} -m bannock.cli.bannock"
        done = subprocess.run(
            ["/bin/sh", "-ec", f'bannock() {{ {bannock} "$@"; }}\neval "$(bannock k8s env)"\n{script}'],
            env=self.environment, capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def container(self, namespace: str, pod: str) -> dict[str, object]:
        """Give what the engine says of the container of a pod."""
        labels = (self.label, f"dev.bannock.k8s.namespace={namespace}", f"dev.bannock.k8s.pod={pod}")
        options = [word for label in labels for word in ("--filter", f"label={label}")]
        document: dict[str, object] = json.loads(
            self._engine.output("inspect", self._engine.output("ps", "-q", *options))
        )[0]
        return document

    def clean(self) -> None:
        """Take everything away, and see that nothing is left."""
        self.run("bannock k8s stop --all --volumes --grace 3")
        for kind in ("container", "volume", "network"):
            every = ["--all"] if kind == "container" else []
            assert not self._engine.output(kind, "ls", "-q", *every, "--filter", f"label={self.label}")


@pytest.fixture
def laptop(engine: Engine, tmp_path: Path) -> Iterator[Laptop]:
    """Give it."""
    laptop = Laptop(engine, tmp_path)
    try:
        yield laptop
    finally:
        laptop.clean()


def test_a_cas_gets_an_owner(laptop: Laptop, curated: CuratedImages) -> None:
    """By ``kubectl provision``; a new pod of it, and a new release, are the same CAS, which keeps its owner."""
    provision = "kubectl provision cas mycas -n scone-system"
    laptop.run(f"{provision} {_SIMULATED} --set image={curated.of('cas')}")
    keys = laptop.run(f"{provision} --print-public-keys")
    assert keys.startswith('export CAS_KEY="')
    assert laptop.run("kubectl get cas mycas -n scone-system -o jsonpath='{.status.state}'") == "HEALTHY"
    settings = laptop.container("scone-system", "mycas-0")
    host, config = settings["HostConfig"], settings["Config"]
    assert isinstance(host, dict)
    assert isinstance(config, dict)
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["Privileged"]) == (True, ["ALL"], False)
    assert "no-new-privileges" in host["SecurityOpt"]
    assert config["User"] == "10001:10001"
    # Its claim outlives the pod and the release.
    laptop.run("kubectl delete pod mycas-0 -n scone-system --now; helm uninstall mycas -n scone-system")
    laptop.run(f"{provision} {_SIMULATED} --set image={curated.of('cas')}")
    assert laptop.run(f"{provision} --print-public-keys") == keys


def test_a_cas_with_the_master_key_of_a_secret(laptop: Laptop, curated: CuratedImages, tmp_path: Path) -> None:
    """The key is read where nothing can be written; a secret that the chart only names is given beside it."""
    secret = tmp_path / "secret.yaml"
    secret.write_text(
        f"kind: Secret\nmetadata: {{name: keys}}\nstringData: {{master.key: {os.urandom(32).hex()!r}}}\n"
    )
    settings = f"{_SIMULATED} --set image={curated.of('cas')},masterKey.secret=keys,persistence.enabled=true"
    run = f"bannock k8s run {_CHARTS}/cas {settings} --with {secret} --detach --wait"
    laptop.run(run)
    assert "provisioning token" in laptop.run("kubectl logs cas-0")
    first = laptop.run("kubectl logs cas-0 | grep -o 'CAS [^ ]* ' | head -1")
    laptop.run(f"kubectl delete pod cas-0; {run}")
    assert laptop.run("kubectl logs cas-0 | grep -o 'CAS [^ ]* ' | head -1") == first


def test_a_las_on_the_node(laptop: Laptop, curated: CuratedImages) -> None:
    """It serves at a port of this machine, sees its processes, and is not privileged."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="las-") as state:
        settings = f"--set image={curated.of('las')},service.hostPort={port},statePath={state}"
        laptop.run(f"helm install las {_CHARTS}/las {_SIMULATED} {settings} --wait")
        assert f"LAS at 0.0.0.0:{port}: platform sim" in laptop.run("kubectl logs daemonset/las")
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        pod = laptop.run("kubectl get pods -o jsonpath='{.items[0].metadata.name}'")
        host = laptop.container("default", pod)["HostConfig"]
        assert isinstance(host, dict)
        assert (host["NetworkMode"], host["PidMode"], host["Privileged"]) == ("host", "host", False)
        laptop.run("helm uninstall las")


def test_device_plugin(laptop: Laptop, curated: CuratedImages) -> None:
    """In its pod, it offers what this machine has to the kubelet of the node."""
    there = {resource.name for resource in RESOURCES if found(resource, Path("/")) is not None}
    image = curated.of("sgxdevplugin")
    with tempfile.TemporaryDirectory(prefix="k8s-") as directory:
        plugins = Path(directory) / "device-plugins"
        plugins.mkdir()
        with Kubelet(plugins) as kubelet:
            settings = f"--set image={image},kubeletPath={directory},labelNodes=false,maxSGXPods=2"
            laptop.run(f"helm install plugin {_CHARTS}/sgxdevplugin {settings}")
            registered = kubelet.registrations(len(there), seconds=60)
            assert set(registered) == there
            for name, registration in registered.items():
                devices = kubelet.watch(registration.endpoint).next()
                assert devices is not None, name
                assert len(devices) == 2
            laptop.run("bannock k8s stop plugin --grace 5")
