"""Services that are made of manifests as a user makes them, and run with a CAS and a LAS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.images.originals import measured_program
from bannock.images.places import Places
from bannock.images.tree import Tree
from bannock.mesh.facts import ServiceFacts
from bannock.mesh.withheld import complete
from tests.integration.shield.kills.services import CasProcess, start_las

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.containers import Engine

__all__ = ["MeshSite"]

_APPLY = (sys.executable, "-m", "bannock.cli.sconectl", "apply", "-f", "service.yaml")
_SESSION = """\
name: {session}
version: "0.3.11"
services:
  - name: service
    image_name: image
    attestation: [{{mrenclave: [{mrenclave}]}}]
    command: {command}
    environment: {environment}
    pwd: {directory}
images:
  - name: image
secrets: {secrets}
security:
  attestation:
    tolerate: [simulation]
"""


@dataclass(frozen=True)
class MeshSite:
    """An engine, a CAS and a LAS, and directories with manifests."""

    engine: Engine
    base: Path
    cas: CasProcess
    las: Path

    @classmethod
    @contextmanager
    def opened(cls, engine: Engine, base: Path) -> Iterator[MeshSite]:
        """Start the services."""
        cas = CasProcess(base / "cas")
        las, address = start_las(base / "las")
        try:
            yield cls(engine, base, cas, Path(address.removeprefix("unix:")).parent)
        finally:
            las.close()
            cas.kill()

    @property
    def environment(self) -> dict[str, str]:
        """What commands are started with."""
        cache = {"XDG_CACHE_HOME": str(self.base / "cache"), "HOME": str(self.base)}
        return {**self.engine.environment, **cache, "PATH": os.environ["PATH"]}

    def apply(
        self, directory: Path, *options: str, code: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``sconectl apply`` as a user does, with these variables in its environment."""
        environment = {**self.environment, **variables}
        done = subprocess.run(
            [*_APPLY, *options],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, done.stderr
        return done

    @contextmanager
    def applying(self, directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Run it, and tell what it says as it says it."""
        with subprocess.Popen(
            [*_APPLY, *options], cwd=directory, env=self.environment, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def facts(self, image: str, target: Path) -> ServiceFacts:
        """Read what an image says, and see that it is true."""
        with Places.prepared(cache=self.base / "places", environment=self.environment) as places:
            found = places.open(image)
            facts = ServiceFacts.from_labels(found.config.labels, image=image)
            measured = measured_program(facts.program, Tree.of(found), dict(found.config.env))
            assert str(measured.root) == facts.mrenclave
        return complete(target, facts)

    def session(self, name: str, facts: ServiceFacts, **variables: str) -> None:
        """Make the session of a service, as a mesh would."""
        local = {key: value for key, value in facts.local.items() if value is not None}
        text = _SESSION.format(
            session=name,
            mrenclave=facts.mrenclave,
            command=json.dumps(list(facts.command)),
            environment=json.dumps({**facts.environment, **local, **variables}),
            directory=facts.directory,
            secrets=json.dumps(list(facts.secrets)),
        )
        self.cas.make_session(text)

    def run(self, image: str, session: str) -> subprocess.CompletedProcess[str]:
        """Start a container of the image."""
        host, port = self.cas.enclaves
        options = [
            "--network", "host", "-v", f"{self.las}:/las", "--security-opt", "seccomp=unconfined",
            "-e", f"SCONE_CAS_ADDR={host}:{port}", "-e", "SCONE_LAS_ADDR=unix:/las/las.sock",
            "-e", f"SCONE_CONFIG_ID={session}/service", "-e", "API_USER=attacker",
        ]  # fmt: skip
        return self.engine.in_container(image, options=options, check=False)
