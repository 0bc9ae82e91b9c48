"""A mesh of two services that share a secret, in pods: updated without a gap, attacked, and one of them removed."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.charts import HELM_PATH, needs_helm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.images.tar_layer import BuiltLayer
    from tests.containers import BaseImages, Engine, Registry

pytestmark = [pytest.mark.docker, pytest.mark.root, needs_helm]

_SECONDS: Final = 90.0
_SERVICE: Final = """\
apiVersion: scone/5.8
kind: genservice
environment:
  local:
    - {{name: TOKEN, value: "$$SCONE::token$$"}}
  global:
    - {{name: PEER, value: nobody}}
secrets: {secrets}
build:
  name: {name}
  kind: python
  to: {to}
  from: {base}
  pwd: /app
  command: python3 -B start.py
  copy: [start.py]
"""
_DEFINES: Final = "{global: [{name: token, kind: ascii, size: 20}]}"
_IMPORTS: Final = "{import: [token]}"
#: Answers each request with its version and what only those can know who have the secret.
_SERVER: Final = """\
import hashlib, http.server, os, signal, threading

class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{version} " + hashlib.sha256(os.environ["TOKEN"].encode()).hexdigest().encode())

server = http.server.ThreadingHTTPServer(("", 8000), Answers)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
"""
#: Asks all the time, and says what it got. A request that was cut off may be sent again (RFC 9110, section 9.2.2), as
#: one that reaches a server that is about to end; if that is not answered either, there is a gap.
_CLIENT: Final = """\
import hashlib, os, time, urllib.request

def asked():
    with urllib.request.urlopen(f"http://{os.environ['PEER']}:8000/", timeout=10) as answer:
        return answer.read().decode().split()

mark = hashlib.sha256(os.environ["TOKEN"].encode()).hexdigest()
while True:
    try:
        try:
            version, told = asked()
        except ConnectionError:
            version, told = asked()
        print("answer", version if told == mark else "of somebody else", flush=True)
    except Exception as error:
        print("gap", error, flush=True)
    time.sleep(0.05)
"""
_MESH: Final = """\
apiVersion: scone/5.8
kind: mesh
cas:
  - cas_url: cas.mesh:{enclaves}
    cas_key: {key}
policy:
  namespace: rolling
env:
  - service: server
    env: [{{name: APP_SERVICE_PORT, value: 8000}}, {{name: replicas, value: 2}}, {{name: readyWhen, value: listening}}]
  - service: client
    env: [{{name: PEER, value: app-server}}]
helm_extra_values: |
  las: {{address: "las.mesh:{las}"}}
services:
{services}"""


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        number: int = probe.getsockname()[1]
        return number


@dataclass
class Mesh:
    """A user with manifests, a CAS and a LAS on this machine, and pods that reach them."""

    engine: Engine
    registry: Registry
    base: str
    directory: Path
    clients: int
    enclaves: int
    las: int
    key: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What commands are started with."""
        aliases = {"BANNOCK_K8S_ALIASES": "cas.mesh=host,las.mesh=host", "BANNOCK_HOME": str(self.directory / "home")}
        places = {"HOME": str(self.directory), "XDG_CACHE_HOME": str(self.directory / "cache"), "PATH": HELM_PATH}
        return {**self.engine.environment, **aliases, **places, "SCONE_MODE": "sim"}

    def run(self, command: str, *words: str, code: int = 0) -> str:
        """Run a command to its end; give what it printed, and then what it told."""
        line = [sys.executable, "-m", f"bannock.cli.{command}", *words]
        done = subprocess.run(
            line, cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False, timeout=200
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def serving(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a service of this machine."""
        line = [sys.executable, "-m", "bannock.cli.bannock", *words]
        with (self.directory / f"{words[0]}.log").open("wb") as log:
            process = subprocess.Popen(line, cwd=self.directory, env=self.environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    def image(self, name: str, tag: str, script: str, secrets: str) -> None:
        """Make and push the image of a service."""
        (self.directory / "start.py").write_text(script)
        text = _SERVICE.format(name=name, to=self._named(name, tag), base=self.base, secrets=secrets)
        (self.directory / "service.yaml").write_text(text)
        self.run("sconectl", "apply", "-f", "service.yaml")

    def move_tag(self, name: str, old: str, new: str) -> None:
        """Push an older image under the tag of a newer one."""
        self.engine.output("tag", self._named(name, old), self._named(name, new))
        self.engine.output("push", "--quiet", self._named(name, new))

    def mesh(self, **tags: str) -> None:
        """Write the manifest of a mesh of these services."""
        services = "".join(f"  - {{name: {name}, image: '{self._named(name, tag)}'}}\n" for name, tag in tags.items())
        text = _MESH.format(enclaves=self.enclaves, key=self.key, las=self.las, services=services)
        if "client" not in tags:
            text = re.sub(r"  - service: client\n.*\n", "", text)
        (self.directory / "mesh.yaml").write_text(text)

    def apply(self, *options: str) -> str:
        """Apply it."""
        return self.run("sconectl", "apply", "-f", "mesh.yaml", "--release", "app", "--mode", "debug", *options)

    def diff(self, *options: str) -> str:
        """Tell what an apply would change."""
        return self.run("sconectl", "diff", "-f", "mesh.yaml", "--release", "app", "--mode", "debug", *options)

    def upgrade(self, *words: str, code: int = 0) -> str:
        """Bring the pods to what the chart says."""
        return self.run(
            "bannock", "k8s", "run", "./target/helm", "--release", "app", "--detach", "--wait", *words, code=code
        )

    def logs(self, workload: str) -> list[str]:
        """Give what the pods of a service printed."""
        return self.run("bannock", "k8s", "logs", f"deployment/app-{workload}").splitlines()

    def _named(self, name: str, tag: str) -> str:
        return f"{self.registry.address}/{self.engine.prefix}/rolling-{name}:{tag}"


@pytest.fixture
def mesh(
    engine: Engine, registry: Registry, bases: BaseImages, runtime_layer: BuiltLayer, tmp_path: Path
) -> Iterator[Mesh]:
    """Start the services; whatever a test started is gone after it."""
    kept = tmp_path / "cache/bannock"
    kept.mkdir(parents=True)
    (kept / "layers").symlink_to(runtime_layer.path.parent)
    made = Mesh(engine, registry, bases.python(), tmp_path, clients=_port(), enclaves=_port(), las=_port())
    config = f'[api]\nlisten = "0.0.0.0:{made.clients}"\n[enclave]\nlisten = "0.0.0.0:{made.enclaves}"\n'
    (tmp_path / "cas.toml").write_text(config)
    with ExitStack() as running:
        running.enter_context(made.serving("las", "serve", "--listen", f"0.0.0.0:{made.las}"))
        cas = running.enter_context(made.serving("cas", "serve", "--config", "cas.toml"))
        end = time.monotonic() + _SECONDS
        while "for enclaves at" not in (tmp_path / "cas.log").read_text():
            assert cas.poll() is None, (tmp_path / "cas.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        options = (
            "-GCS",
            "--only_for_testing-debug",
            "--only_for_testing-trust-any",
            "--only_for_testing-ignore-signer",
        )
        made.run("scone", "cas", "attest", f"localhost:{made.clients}", *options)
        shown = made.run("scone", "cas", "show-identification", f"localhost:{made.clients}", "--cas-key-hash")
        made.key = shown.split()[0]
        running.callback(made.run, "bannock", "k8s", "stop", "--all", "--volumes", "--grace", "0")
        yield made


def test_a_mesh_is_updated_without_a_gap(mesh: Mesh) -> None:
    """Both versions answer while it rolls, the old one is refused after; a removed service starts nowhere."""
    mesh.image("server", "1", _SERVER.replace("{version}", "one"), _DEFINES)
    mesh.image("client", "1", _CLIENT, _IMPORTS)
    mesh.mesh(server="1", client="1")
    mesh.apply()
    mesh.upgrade()
    end = time.monotonic() + _SECONDS
    while "answer one" not in mesh.logs("client"):
        assert time.monotonic() < end, mesh.logs("client")
        time.sleep(0.5)
    begun = len(mesh.logs("client"))

    mesh.image("server", "2", _SERVER.replace("{version}", "two"), _DEFINES)
    mesh.mesh(server="2", client="1")
    told = mesh.diff("--rolling")
    assert re.search(r"~ services\[0\]\.attestation\[0\]\.mrenclave: \[\"\w{64}\"\] -> \[\"\w{64}\", ", told), told
    assert "rolling-server:2" in told
    mesh.apply("--rolling")
    mesh.upgrade()
    time.sleep(1)
    said = mesh.logs("client")[begun:]
    assert said[-1] == "answer two"
    assert {"answer one", "answer two"} == set(said), said
    mesh.apply()

    # The image of before, under the tag of now: an attack that a moved tag is.
    mesh.move_tag("server", "1", "2")
    refused = mesh.upgrade("--set", "services.server.replicas=3", "--timeout", "30", code=50)
    assert "MRENCLAVE" in refused, refused
    assert "answer two" in mesh.logs("client")[-1]

    mesh.mesh(server="2")
    assert "made void rolling/app/client" in mesh.apply()
