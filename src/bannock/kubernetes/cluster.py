"""A namespace of a cluster, by the user's own ``kubectl`` and ``helm``: they know where it is and who the user is."""

from __future__ import annotations

import re
import selectors
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, NotFoundError
from bannock.net.address import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Cluster"]

_SECONDS: Final = 60.0
_FORWARD_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5.0
_LINE_BYTES_MAX: Final = 1 << 16
_FORWARDED: Final = re.compile(rb"Forwarding from 127\.0\.0\.1:([0-9]{1,5}) ")
_MISSING: Final = {
    "kubectl": "install kubectl: https://kubernetes.io/docs/tasks/tools/",
    "helm": "install helm: https://helm.sh/docs/intro/install/",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A namespace.

    Attributes:
        namespace: its name.
        environment: of the programs.
        observer: is told each command line before it runs.
    """

    namespace: str
    environment: Mapping[str, str]
    observer: Callable[[str], None] | None = None

    def kubectl(self, *words: str, stdin: str = "", seconds: float = _SECONDS) -> str:
        """Run kubectl in the namespace, and return what it prints.

        Raises:
            EnvironmentFault: there is no kubectl, or it fails.
        """
        return self._run(["kubectl", *words, "--namespace", self.namespace], stdin, seconds)

    def helm(self, *words: str, seconds: float = _SECONDS) -> str:
        """Run helm in the namespace, and return what it prints.

        Raises:
            EnvironmentFault: there is no helm, or it fails.
        """
        return self._run(["helm", *words, "--namespace", self.namespace], "", seconds)

    def require_namespace(self) -> None:
        """See that the namespace is there.

        Raises:
            NotFoundError: it is not.
            EnvironmentFault: the cluster is not to be reached.
        """
        found = self.kubectl("get", "namespace", self.namespace, "--ignore-not-found", "--output=name")
        if not found.strip():
            raise NotFoundError(
                f"there is no namespace {self.namespace}", hint=f"make it: kubectl create namespace {self.namespace}"
            )

    @contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[Address]:
        """Reach a port of a service from here, as long as the context lasts.

        Raises:
            EnvironmentFault: it is not to be reached.
        """
        command = ["kubectl", "port-forward", f"service/{service}", f":{port}", "--namespace", self.namespace]
        command += ["--address", "127.0.0.1"]
        self._tell(command)
        with subprocess.Popen(
            [self._program("kubectl"), *command[1:]],
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        ) as process:
            try:
                yield Address("127.0.0.1", self._port(process, service))
            finally:
                process.terminate()
                try:
                    process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()

    def _port(self, process: subprocess.Popen[bytes], service: str) -> int:
        assert process.stdout is not None  # noqa: S101 - asked for above
        assert process.stderr is not None  # noqa: S101 - likewise
        told, end = b"", time.monotonic() + _FORWARD_SECONDS
        while (found := _FORWARDED.search(told)) is None:
            piece = _read(process.stdout, end - time.monotonic())
            if not piece or len(told) > _LINE_BYTES_MAX:
                process.terminate()
                reason = _last(process.stderr.read(_LINE_BYTES_MAX)) or "kubectl does not say why"
                raise EnvironmentFault(f"cannot reach the service {service} of {self.namespace}: {reason}")
            told += piece
        return int(found[1])

    def _run(self, command: list[str], stdin: str, seconds: float) -> str:
        self._tell(command)
        try:
            done = subprocess.run(
                [self._program(command[0]), *command[1:]],
                env=dict(self.environment),
                input=stdin.encode("utf-8"),
                capture_output=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise EnvironmentFault(f"`{' '.join(command[:3])}` does not end within {seconds:g} seconds") from None
        except OSError as error:
            raise EnvironmentFault(f"cannot run {command[0]}: {error.strerror}") from error
        if done.returncode:
            reason = _last(done.stderr) or f"exit code {done.returncode}"
            raise EnvironmentFault(f"`{' '.join(command[:3])}` failed: {reason}")
        return done.stdout.decode("utf-8", errors="replace")

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=self.environment.get("PATH"))
        if found is None:
            raise EnvironmentFault(f"there is no program {name} in the path", hint=_MISSING[name])
        return found

    def _tell(self, command: list[str]) -> None:
        if self.observer is not None:
            self.observer(" ".join(command))


def _read(pipe: IO[bytes], seconds: float) -> bytes:
    """Read what is there, once there is something; nothing at its end, or when the time is over."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return pipe.read(_LINE_BYTES_MAX) if seconds > 0 and selector.select(seconds) else b""


def _last(told: bytes) -> str:
    lines = told.decode("utf-8", errors="replace").split("\n")
    return next((line.strip()[:400] for line in reversed(lines) if line.strip()), "")
