"""Where it is measured: an sshd on this machine, its container engine, the images, and a LAS."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.execution.hosts.book import HostBook
from bannock.execution.hosts.check import State, check_host
from bannock.execution.hosts.las_container import start_las, stop_las
from bannock.execution.hosts.record import HostRecord
from bannock.files import private_directory
from bannock.images.layer import cached_layer
from bannock.images.places import Places
from benchmarks.remote.work import ByHand, Execute
from tests.containers import BaseImages, Engine, running_engine
from tests.curated_images import CuratedImages
from tests.ssh_host import SshHost, running_ssh_host

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Place", "place"]

_ALIAS: Final = "measured"
_DOCKERFILE: Final = """\
ARG BASE
FROM $BASE
COPY age /usr/bin/age
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is compared: a run, and the same by hand."""

    execute: Execute
    by_hand: ByHand


@contextmanager
def place(directory: Path) -> Iterator[Place]:
    """Have everything ready in an empty directory, and nothing of it afterwards.

    Raises:
        RuntimeError: this machine lacks something.
    """
    with ExitStack() as stack:
        stack.enter_context(_path_for_programs(directory))
        engine = stack.enter_context(running_engine(_new(directory / "engine")))
        host = stack.enter_context(running_ssh_host(_new(directory / "host")))
        bases = BaseImages.in_directory(engine, _new(directory / "bases"))
        curated = _curated(engine, bases, _new(directory / "layers"))
        conf = private_directory(directory / "conf")
        _add(conf, host, engine, curated.of("las"), stack)
        yield Place(
            execute=Execute(conf=conf, host=_ALIAS, application=curated.of("copy_demo")),
            by_hand=ByHand(
                ssh=_ssh(conf, host), image=_with_age(engine, bases, _new(directory / "age")), identity=_key(directory)
            ),
        )


def _new(path: Path) -> Path:
    path.mkdir()
    return path


@contextmanager
def _path_for_programs(directory: Path) -> Iterator[None]:
    """Keep what images are made of for the next time, if nobody has said where."""
    before = os.environ.get("BASE_IMAGES")
    os.environ["BASE_IMAGES"] = before or str(_new(directory / "kept"))
    try:
        yield
    finally:
        if before is None:
            del os.environ["BASE_IMAGES"]


def _curated(engine: Engine, bases: BaseImages, layers: Path) -> CuratedImages:
    def have(name: str, *, whole: bool) -> None:
        if not (layers / f"{name}.tar.gz").exists():
            (layers / f"{name}.tar.gz").symlink_to(cached_layer(layers, whole=whole).path)

    have("runtime", whole=False)
    return CuratedImages(engine, bases, layers, lambda: have("whole", whole=True))


def _add(conf: Path, host: SshHost, engine: Engine, las_image: str, stack: ExitStack) -> None:
    """Add the host, be let in, and have a LAS there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        las = f"127.0.0.1:{free.getsockname()[1]}"
    book = HostBook(conf)
    host.grant(
        book.put(
            HostRecord(
                alias=_ALIAS,
                hostname=host.hostname,
                port=host.port,
                user=host.user,
                engine=str(engine.socket),
                las=las,
            )
        )
    )
    with book.open(_ALIAS, os.environ) as machine, Places.prepared() as places:
        start_las(machine, las_image, places.open)

    def stop() -> None:
        with book.open(_ALIAS, os.environ) as machine:
            stop_las(machine)
        engine.run("volume", "rm", "-f", f"bannock-las-{las.partition(':')[2]}", check=False)

    stack.callback(stop)
    findings = check_host(book, _ALIAS, os.environ, clock=time.time, machine=platform.machine())
    if missing := [finding.found for finding in findings if finding.state is State.MISSING]:
        raise RuntimeError("; ".join(missing))


def _ssh(conf: Path, host: SshHost) -> list[str]:
    """Return the words of ssh that one types, with the key that was made for the host."""
    directory = conf / "hosts" / _ALIAS
    options = [f"UserKnownHostsFile={directory / 'known_hosts'}", f"HostKeyAlias={_ALIAS}", "BatchMode=yes"]
    return [
        *("ssh", "-F", "none", "-i", str(directory / "id_ed25519"), "-p", str(host.port), "-l", host.user),
        *(word for option in options for word in ("-o", option)),
        host.hostname,
    ]


def _with_age(engine: Engine, bases: BaseImages, context: Path) -> str:
    age = shutil.which("age")
    if age is None:
        raise RuntimeError("needs age")
    shutil.copy(age, context / "age")
    (context / "Dockerfile").write_text(_DOCKERFILE)
    return engine.built("age", context, "--build-arg", f"BASE={bases.python()}")


def _key(directory: Path) -> Path:
    path = Path(tempfile.mkdtemp(dir=directory)) / "identity"
    subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    return path
