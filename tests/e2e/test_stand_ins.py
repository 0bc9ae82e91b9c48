"""``bannock k8s env``: scripts that call kubectl and helm work on the pods of this machine."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bannock.kubernetes.local.place import Place
from tests.charts import HELM_PATH, needs_helm, write_chart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.containers import BaseImages, Engine

pytestmark = [pytest.mark.docker, needs_helm]


class Shell:
    """A shell in which ``bannock k8s env`` was evaluated."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        home = directory / "home"
        self.environment = {**engine.environment, "BANNOCK_HOME": str(home), "PATH": HELM_PATH}
        command = [sys.executable, "-m", "bannock.cli.bannock", "k8s", "env"]
        found = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        self.before = f"set -e\n{found.stdout}"
        self.label = Place.of(home).label

    def run(self, script: str, code: int = 0) -> str:
        """Run lines; give what they print."""
        done = subprocess.run(
            ["/bin/sh", "-c", self.before + script],
            env=self.environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def left(self) -> str:
        """Give the containers that the engine has of it."""
        return self._engine.output("ps", "-aq", "--filter", f"label={self.label}")


@pytest.fixture
def shell(engine: Engine, tmp_path: Path) -> Iterator[Shell]:
    """Give it; whatever a test started is gone after it."""
    shell = Shell(engine, tmp_path)
    try:
        yield shell
    finally:
        shell.run("for release in $(helm list -q); do helm uninstall $release; done")
        assert not shell.left()


def test_a_release_by_helm_and_kubectl(shell: Shell, bases: BaseImages, tmp_path: Path) -> None:
    """Installed, looked at, edited, restarted, taken back and uninstalled by commands for clusters."""
    chart = write_chart(tmp_path / "demo", bases.busybox())
    told = shell.run(f"helm upgrade --install --namespace default demo {chart} --wait")
    assert "Installing it now" in told
    assert "STATUS: deployed" in told
    pod = shell.run("kubectl get pods -l app=demo -o jsonpath='{.items[0].metadata.name}'")
    assert pod.startswith("demo-web-")
    assert f"pod/{pod}\n" in shell.run("kubectl get pods -o name")
    assert shell.run(f"kubectl get pod {pod} -o jsonpath='{{.status.containerStatuses[0].ready}}'") == "true"
    assert "1/1     Running" in shell.run("kubectl get pods | grep web")
    assert shell.run(f"kubectl exec -it {pod} -- cat /config/text") == "text: hello"
    # As one edits: what the container prints is of the new pod.
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/not told/told/; s/metadata.name$/metadata.namespace/' \"$1\"\n")
    editor.chmod(0o755)
    assert "deployment.apps/demo-web edited" in shell.run(f"EDITOR={editor} kubectl edit deployment demo-web")
    assert shell.run("kubectl logs deployment/demo-web").splitlines()[-1] == "not told at default"
    assert pod not in shell.run("kubectl get pods -o name")
    shell.run("kubectl set env deployment/demo-web HOST=elsewhere")
    before = shell.run("kubectl get pods -l app=demo -o name")
    assert shell.run(f"kubectl logs {before.strip()}").splitlines()[-1] == "not told at elsewhere"
    shell.run(f"kubectl delete {before.strip()} --now; kubectl rollout status deployment/demo-web --timeout=30s")
    assert shell.run("kubectl get pods -l app=demo -o name") != before
    # An upgrade with the values that it has, and back.
    shell.run(f"helm upgrade demo {chart} --set text=other && helm upgrade demo {chart} --reuse-values")
    assert '"text": "other"' in shell.run("helm get values demo --all --output json")
    shell.run("helm rollback demo 2 && helm rollback demo 1 && kubectl rollout restart deployment/demo-web")
    assert shell.run("kubectl exec deployment/demo-web -- cat /config/text") == "text: hello"
    assert shell.run("helm uninstall demo") == 'release "demo" uninstalled\n'
    assert "there is no release demo" in shell.run("helm uninstall demo", code=31)


def test_forwarded_ports(shell: Shell, bases: BaseImages, tmp_path: Path) -> None:
    """A service is reached from here as long as the command runs."""
    chart = write_chart(tmp_path / "demo", bases.busybox())
    shell.run(f"helm install demo {chart} --wait")
    told = shell.run(f"""
timeout -s INT 20 kubectl port-forward service/demo :8080 --address 127.0.0.1 > {tmp_path}/told &
until grep -q Forwarding {tmp_path}/told; do sleep 0.1; done
port=$(sed 's/.*127.0.0.1:\\([0-9]*\\) .*/\\1/' {tmp_path}/told)
{sys.executable} -c "import urllib.request as r; print(r.urlopen('http://127.0.0.1:$port/text').read().decode())"
kill -TERM $!
""")
    assert told == "text: hello\n"


def test_what_a_cluster_is_asked_for(shell: Shell) -> None:
    """The rest of helm is the real one; kubectl says what it cannot do, and finds the plugin."""
    assert shell.run("helm version --short").startswith("v")
    assert "HEALTHY" in shell.run("kubectl get sgxplugin")
    assert "not found" in shell.run("kubectl get cas cas -n scone-system", code=31)
    assert shell.run("kubectl get namespace x --ignore-not-found --output=name") == "namespace/x\n"
    assert shell.run("kubectl get service x --ignore-not-found --output=name") == ""
    assert shell.run("kubectl provision --help").startswith("usage: kubectl provision")
    assert "`kubectl apply` needs a cluster" in shell.run("kubectl apply -f x", code=2)
