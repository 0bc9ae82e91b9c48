"""The chart of the CAS with replicas on PostgreSQL, in pods: they join each other by themselves, and stay one CAS."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.charts import HELM_PATH, needs_helm
from tests.integration.shield.postgresql import Server, programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.containers import Engine
    from tests.curated_images import CuratedImages

pytestmark = [
    pytest.mark.docker,
    pytest.mark.root,
    needs_helm,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed"),
]

_CHART: Final = Path(__file__).parents[2] / "charts" / "cas"
_PASSWORD: Final = "canary-database-771"
_SECRETS: Final = """\
apiVersion: v1
kind: Secret
metadata: {{name: keys}}
stringData: {{master.key: "{key}"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: database}}
stringData: {{password: "{password}"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: demo}}
data:
  demo.yml: |
    name: demo
    version: "0.3.11"
    access_policy: {{read: [ANY]}}
"""
_VALUES: Final = """\
extraVolumes: [{name: demo, configMap: {name: demo}}]
extraVolumeMounts: [{name: demo, mountPath: /demo}]
"""
#: The replica itself: the others are called by other names.
_ATTEST: Final = (
    "cas", "attest", "localhost", "-GCS", "--only_for_testing-debug", "--only_for_testing-trust-any",
    "--only_for_testing-ignore-signer",
)  # fmt: skip


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that pods reach, with a database and a user who needs a password."""
    base = tmp_path_factory.mktemp("postgresql")
    for above in (base, base.parent, base.parent.parent):
        above.chmod(above.stat().st_mode | 0o055)
    server = Server(base / "data", base, settings=("listen_addresses=0.0.0.0",))
    server.create()
    with (base / "data" / "pg_hba.conf").open("a") as access:
        access.write("host all cas all scram-sha-256\n")
    server.start()
    server.query(f"CREATE ROLE cas LOGIN PASSWORD '{_PASSWORD}'")
    server.query("CREATE DATABASE cas OWNER cas")
    try:
        yield server
    finally:
        server.kill()


@pytest.mark.usefixtures("server")
def test_replicas_join_and_are_one_cas(engine: Engine, curated: CuratedImages, tmp_path: Path) -> None:
    """Two that are started at once, a third later: none is told to take what it finds; what one knows, all know."""
    environment = {
        **engine.environment, "BANNOCK_HOME": str(tmp_path / "home"), "PATH": HELM_PATH,
        "BANNOCK_K8S_ALIASES": "database=host",
    }  # fmt: skip

    def k8s(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "bannock.cli.bannock", "k8s", *words],
            env=environment, capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def scone(pod: str, *words: str) -> str:
        return k8s("exec", pod, "--", "/opt/bannock/bin/scone", *words)

    secrets = tmp_path / "secrets.yaml"
    secrets.write_text(_SECRETS.format(key=os.urandom(32).hex(), password=_PASSWORD))
    settings = (
        f"image={curated.of('cas')}", "useSGXDevPlugin=none", "persistence.enabled=true",
        "masterKey.secret=keys", "postgresql.passwordSecret=database",
        "postgresql.url=postgresql://cas@database/cas",
    )  # fmt: skip
    values = tmp_path / "values.yaml"
    values.write_text(_VALUES)
    chosen = [word for each in settings for word in ("--set", each)]
    run = (
        "run",
        str(_CHART),
        "--release",
        "cas",
        "--detach",
        "--wait",
        "--with",
        str(secrets),
        "--values",
        str(values),
        *chosen,
    )
    try:
        k8s(*run, "--set", "replicas=2")
        scone("cas-0", *_ATTEST)
        digest = scone("cas-0", "session", "create", "/demo/demo.yml").split()[-1]
        k8s(*run, "--set", "replicas=3")
        keys = {re.findall(r"\bCAS (\S{40,60})\s", k8s("logs", f"cas-{number}"))[0] for number in range(3)}
        assert len(keys) == 1
        # The third one came when the session was there.
        scone("cas-2", *_ATTEST)
        assert "name: demo" in scone("cas-2", "session", "read", "demo")
        assert digest == scone("cas-2", "session", "verify", "/demo/demo.yml").split()[-1]
    finally:
        k8s("stop", "--all", "--volumes", "--grace", "0")
