"""Where it is measured: an engine, a registry, images to begin with, a CAS and a LAS, all on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.images.results import Measured
from tests.containers import BaseImages, Engine, Registry, running_engine, running_registry

if TYPE_CHECKING:
    import resource
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Place", "place", "timed"]

_COMMAND: Final = (sys.executable, "-I", "-m")
_START_SECONDS: Final = 60.0
_STEP_SECONDS: Final = 0.05
_MIB_OF_KIB: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is there for all measurements.

    Attributes:
        bases: images to build on.
        cas, enclaves, las: addresses.
    """

    directory: Path
    engine: Engine
    registry: Registry
    bases: BaseImages
    cas: str
    enclaves: str
    las: str

    def sconify(
        self, source: str, target: str, name: str, *options: str, cache: Path, parts: dict[str, str] | None = None
    ) -> Measured:
        """Run ``sconify_image`` as a user does, and say what it took."""
        words = (
            *_COMMAND, "bannock.cli.sconify_image", f"--from={source}", f"--to={target}", f"--name={name}",
            "--namespace=measured", "--create-namespace", "--binary=/usr/bin/python3", f"--cas={self.cas}",
            f"--cas-in-image={self.enclaves}", f"--las={self.las}", "--cas-debug", "--allow-debug-mode", *options,
        )  # fmt: skip
        home = {"HOME": str(self.directory), "XDG_CACHE_HOME": str(cache)}
        return timed(words, {**self.engine.environment, **home, **(parts or {})})


def timed(words: Sequence[str], environment: dict[str, str] | None = None) -> Measured:
    """Run a program that is to succeed; say how long it took, and how much memory it had.

    Raises:
        RuntimeError: it failed.
    """
    begun = time.perf_counter()
    with subprocess.Popen(
        words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None  # noqa: S101 # it is a pipe
        told = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    if process.returncode:
        raise RuntimeError(f"{words[:6]} failed: {told.decode(errors='replace')[-2000:]}")
    return Measured(seconds=seconds, peak=_peak(used))


def _peak(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / _MIB_OF_KIB


@contextmanager
def place(directory: Path) -> Iterator[Place]:
    """Have everything ready in an empty directory, and nothing of it afterwards."""
    with ExitStack() as stack:
        engine = stack.enter_context(running_engine(_new(directory / "engine")))
        registry = stack.enter_context(running_registry(_new(directory / "registry-of-images")))
        bases = BaseImages.in_directory(engine, _new(directory / "bases"))
        api, enclaves, las = _free_addresses(3)
        config = directory / "cas.toml"
        config.write_text(f'[api]\nlisten = "{api}"\n[enclave]\nlisten = "{enclaves}"\n', encoding="utf-8")
        (directory / "conf").mkdir(mode=0o700)
        stack.enter_context(_service(directory, "for enclaves at", "cas", "serve", "--config", str(config)))
        stack.enter_context(_service(directory, "LAS at", "las", "serve", "--listen", las))
        yield Place(
            directory=directory, engine=engine, registry=registry, bases=bases, cas=api, enclaves=enclaves, las=las
        )


def _new(path: Path) -> Path:
    path.mkdir()
    return path


def _free_addresses(number: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    try:
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def _service(directory: Path, told: str, *arguments: str) -> Iterator[None]:
    log = directory / f"{arguments[0]}.log"
    command = [*_COMMAND, "bannock.cli.bannock", *arguments, "--conf", str(directory / "conf")]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            end = time.monotonic() + _START_SECONDS
            while told not in log.read_text(encoding="utf-8"):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{arguments[0]} does not come up: {log.read_text(encoding='utf-8')}")
                time.sleep(_STEP_SECONDS)
            yield
        finally:
            process.terminate()
