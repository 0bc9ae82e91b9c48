"""What happens to services, servers, disks and network while they work: each is over when it returns."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.soak.services import Wrong

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.soak.proxy import Proxy
    from benchmarks.soak.servers import Cas, Server
    from benchmarks.soak.services import Service

__all__ = ["FAULTS", "OF_SERVERS", "Disk", "Fault", "Scene"]

_FULL_SECONDS: Final = 8.0
_AWAY_SECONDS: Final = 6.0
_FROZEN_SECONDS: Final = 4.0
#: So long may a service take to go on after something that it need not survive without waiting.
_RECOVERY_SECONDS: Final = 120.0
_OTHER_PROGRAM: Final = "/bin/sh"
_MIB: Final = 1 << 20


class Disk:
    """A file system in memory of its own, which can be filled; a directory where it cannot be mounted."""

    def __init__(self, path: Path, mib: int) -> None:
        self.path = path
        path.mkdir(mode=0o755)
        words = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0755", "bannock-soak", str(path)]
        self.is_own = os.geteuid() == 0 and not subprocess.run(words, capture_output=True, check=False).returncode

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no byte."""
        filling = self.path / "filling"
        with filling.open("wb", buffering=0) as file:
            block = bytes(_MIB)
            while True:
                try:
                    file.write(block)
                except OSError:
                    if len(block) == 1:
                        break
                    block = block[: len(block) // 2]
        try:
            yield
        finally:
            filling.unlink()

    def remove(self) -> None:
        """Take it away, with all that is on it."""
        if self.is_own:
            subprocess.run(["umount", "-l", str(self.path)], check=False)
        shutil.rmtree(self.path, ignore_errors=True)


@dataclass(kw_only=True)
class Scene:
    """Everything that things can happen to.

    Attributes:
        disk, cas_disk: where some volumes, and the data of the CAS are.
        refusals: the last words of what had to be refused.
    """

    services: list[Service]
    cas: Cas
    las: Server
    proxy: Proxy
    disk: Disk
    cas_disk: Disk
    home: Path
    random: random.Random
    refusals: list[str] = field(default_factory=list)

    @property
    def mortal(self) -> Service:
        """A service that may be ended."""
        return self.random.choice([service for service in self.services if not service.steady])

    def rush(self) -> None:
        """Have many clients ask the CAS at once, and wait for them."""
        self.cas.rush(self.services[0].key)

    def look(self) -> None:
        """Read what all services said."""
        for service in self.services:
            service.look()

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.2)
            self.look()

    def go_on(self, *, may_end: bool = False) -> int:
        """Wait until every service has made a new entry; say how many had to be started anew for that.

        Args:
            may_end: a service may have found that its volume takes no more, and ended.

        Raises:
            Wrong: one does not go on.
        """
        anew = 0
        before = {service.name: service.commits for service in self.services}
        end = time.monotonic() + _RECOVERY_SECONDS
        while still := [service for service in self.services if service.commits == before[service.name]]:
            for service in [service for service in still if service.pid is None]:
                service.look()
                if not may_end or not service.has_given_up:
                    raise Wrong(f"{service.name} has ended: {service.errors}")
                service.start()
                anew += 1
            if time.monotonic() > end:
                raise Wrong(f"{', '.join(service.name for service in still)}: no entry for {_RECOVERY_SECONDS:.0f} s")
            self.wait(0.5)
        return anew


@dataclass(frozen=True)
class Fault:
    """Something that happens.

    Attributes:
        name: what it is.
        happen: does it, and gives what it happened to.
        weight: how often it is chosen.
    """

    name: str
    happen: Callable[[Scene], str]
    weight: int = 1


def _kill(what: str) -> Callable[[Scene], str]:
    def happen(scene: Scene) -> str:
        service = scene.mortal
        service.kill(what)
        service.start()
        return service.name

    return happen


def _restart(scene: Scene) -> str:
    service = scene.mortal
    service.stop()
    service.start()
    return service.name


def _update(scene: Scene) -> str:
    service = scene.mortal
    service.post()
    service.stop()
    service.start()
    return f"{service.name}, version {service.generation}"


def _cut(scene: Scene) -> str:
    count = scene.proxy.cut()
    scene.go_on()
    return f"{count} connections"


def _away(scene: Scene) -> str:
    scene.proxy.leave(away=True)
    try:
        scene.wait(_AWAY_SECONDS)
    finally:
        scene.proxy.leave(away=False)
    scene.go_on()
    return f"{_AWAY_SECONDS:.0f} s"


def _freeze(scene: Scene) -> str:
    scene.cas.send(signal.SIGSTOP)
    try:
        scene.wait(_FROZEN_SECONDS)
    finally:
        scene.cas.send(signal.SIGCONT)
    scene.go_on()
    return f"{_FROZEN_SECONDS:.0f} s"


def _fill_volumes(scene: Scene) -> str:
    return _filled(scene, scene.disk)


def _fill_cas(scene: Scene) -> str:
    return _filled(scene, scene.cas_disk)


def _filled(scene: Scene, disk: Disk) -> str:
    if not disk.is_own:
        return "left out: it needs root"
    failures = sum(service.failures for service in scene.services)
    with disk.full():
        scene.wait(_FULL_SECONDS)
    anew = scene.go_on(may_end=True)
    failures = sum(service.failures for service in scene.services) - failures
    return f"{failures} writes failed, {anew} services had to be started anew"


def _kill_cas(scene: Scene) -> str:
    scene.cas.kill()
    scene.wait(scene.random.uniform(0, 3))
    scene.cas.start()
    scene.go_on()
    scene.rush()
    return f"life {scene.cas.lives}"


def _restart_cas(scene: Scene) -> str:
    scene.cas.stop()
    scene.cas.start()
    scene.go_on()
    scene.rush()
    return f"life {scene.cas.lives}"


def _kill_las(scene: Scene) -> str:
    scene.las.kill()
    scene.las.start()
    # Whoever attests anew needs the new one.
    scene.proxy.cut()
    scene.go_on()
    service = scene.mortal
    service.stop()
    service.start()
    return f"life {scene.las.lives}, then all connections"


def _other_program(scene: Scene) -> str:
    service = scene.mortal
    service.stop()
    scene.refusals.append(service.refused(_OTHER_PROGRAM))
    service.start()
    return f"{service.name}: refused"


def _put_back(scene: Scene) -> str:
    """An older copy of a volume is put in its place: a start from it has to be refused."""
    service = scene.mortal
    service.stop()
    older, newest = scene.home / "older", scene.home / "newest"
    shutil.copytree(service.volume, older)
    service.start()
    before = service.commits
    while service.commits == before:
        scene.wait(0.5)
    service.stop()
    shutil.copytree(service.volume, newest)
    _exchange(service.volume, older)
    scene.refusals.append(service.refused())
    _exchange(service.volume, newest)
    service.start()
    return f"{service.name}: refused"


def _exchange(volume: Path, other: Path) -> None:
    for path in volume.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(other, volume, dirs_exist_ok=True)
    shutil.rmtree(other)


FAULTS: Final = (
    Fault("a service is killed with all it started", _kill("all"), 3),
    Fault("a runtime is killed", _kill("runtime"), 2),
    Fault("an application is killed", _kill("application"), 2),
    Fault("a service is started anew", _restart, 2),
    Fault("a session is updated", _update, 4),
    Fault("all connections are cut", _cut, 2),
    Fault("the network is away", _away, 2),
    Fault("the CAS is frozen", _freeze, 1),
    Fault("the disk of volumes is full", _fill_volumes, 2),
    Fault("the disk of the CAS is full", _fill_cas, 1),
    Fault("another program asks for a configuration", _other_program, 1),
    Fault("an older volume is put back", _put_back, 2),
)
#: They end what is to be looked at for long, so they happen early.
OF_SERVERS: Final = (
    Fault("the CAS is killed", _kill_cas, 3),
    Fault("the CAS is started anew", _restart_cas, 2),
    Fault("the LAS is killed", _kill_las, 2),
)
