"""The tutorial of SCONE on Kubernetes with Docker in place of a cluster: its commands, its documents, its services."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.containers import Container, Engine

__all__ = ["SIMULATION", "Reader", "options_of"]

_BLOCKS: Final = Path(__file__).parents[1] / "data" / "kubernetes_hello_world"
_STATE: Final = ".state"
#: What a session has to say where no hardware protects anything; the tutorial's clusters have SGX.
SIMULATION: Final = "\nsecurity:\n  attestation:\n    tolerate: [simulation]\n"
#: What lets the runtime make a place for secrets that nobody else in the container sees.
_RIGHTS: Final = ("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")


@dataclass(frozen=True)
class Reader:
    """Somebody who follows the tutorial in a directory.

    Attributes:
        engine: of Docker.
        directory: where they work.
        variables: that they exported before.
    """

    engine: Engine
    directory: Path
    variables: dict[str, str]

    def types(self, *blocks: str, **more: str) -> str:
        """Run blocks of the tutorial in one shell, which goes on where the last one ended; give what they print."""
        state = self.directory / _STATE
        script = "\n".join(
            ["set -euo pipefail", f"if [ -e {_STATE} ]; then . ./{_STATE}; fi"]
            + [block if "\n" in block or " " in block else (_BLOCKS / f"{block}.sh").read_text() for block in blocks]
            + [f"declare -p NS IMAGE MRENCLAVE ${{!SCONE_FSPF*}} 2>/dev/null >{state} || true"]
        )
        done = subprocess.run(
            ["/bin/bash", "-c", script],
            cwd=self.directory,
            env={**self.engine.environment, **self.variables, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{blocks}: {done.stderr}{done.stdout}"
        return done.stdout

    @property
    def blocks(self) -> Path:
        """Where the tutorial's blocks are."""
        return _BLOCKS

    def ends(self, container: Container) -> int:
        """Wait until the application has ended, and give its exit code."""
        return int(self.engine.output("wait", container.name))

    def copy(self, directory: Path) -> Reader:
        """Give somebody who goes on from here in a directory of their own."""
        shutil.copytree(self.directory, directory)
        return Reader(self.engine, directory, self.variables)

    def builds(self, image: str) -> None:
        """Build the image as the tutorial does, and push it to a registry."""
        self.types(f"IMAGE={image}\ndocker build --pull . -t $IMAGE && docker push $IMAGE")

    @contextmanager
    def applies(self, manifest: str, options: Sequence[str] = _RIGHTS, **more: str) -> Iterator[Container]:
        """Start what a manifest of the tutorial describes, as a cluster would."""
        image, environment = options_of((self.directory / manifest).read_text(encoding="utf-8"))
        variables = [word for name, value in {**environment, **more}.items() for word in ("-e", f"{name}={value}")]
        with self.engine.started(image, options=(*options, *variables)) as container:
            yield container

    def asks(self, container: Container, port: int) -> str:
        """Send a request to the application."""
        container.wait_for_port(port)
        scheme = "http" if port == 8080 else "https"
        command = ["/usr/bin/curl", "-s", "-k", "--noproxy", "*", f"{scheme}://{container.address}:{port}"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def options_of(manifest: str) -> tuple[str, dict[str, str]]:
    """Return the image and the environment of the only container in a manifest of Kubernetes."""
    documents: list[Any] = list(yaml.safe_load_all(manifest))
    (container,) = documents[0]["spec"]["template"]["spec"]["containers"]
    return container["image"], {each["name"]: each["value"] for each in container.get("env", [])}
