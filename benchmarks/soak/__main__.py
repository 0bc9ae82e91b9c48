"""The command: run everything for a while, and say whether it holds."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError
from benchmarks.shield.machine import facts
from benchmarks.soak.faults import FAULTS, OF_SERVERS, Disk, Scene
from benchmarks.soak.proxy import Proxy
from benchmarks.soak.report import Course
from benchmarks.soak.sampler import Sampler
from benchmarks.soak.servers import Cas, Server, free_address
from benchmarks.soak.services import Service, Wrong, measured
from benchmarks.tables import insert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.soak.faults import Fault

_PUBLISHED: Final = Path(__file__).parents[2] / "bench" / "soak"
_PAGE: Final = Path(__file__).parents[2] / "docs" / "soak.md"
#: Of the time, in which the servers are ended too.
_EARLY: Final = 0.35
_SMALL_DISK_MIB: Final = 160
#: One in so many services has its volume on the small disk, or in memory; of so many, two are never ended.
_ON_SMALL_DISK: Final = 4
_IN_MEMORY: Final = 5
_STEADY: Final = 6
_CAS_DISK_MIB: Final = 400
_PATIENCE_SECONDS: Final = "90"
#: Exit codes of the verification of a log that is as it has to be: correct, and correct with transactions that failed.
_CORRECT: Final = (0, 10)


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code: 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (%(default)s)")
    parser.add_argument("--services", type=int, default=20, help="how many (%(default)s)")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between entries of each (%(default)s)")
    parser.add_argument("--every", type=float, default=8.0, help="seconds between faults (%(default)s)")
    parser.add_argument("--seed", type=int, help="of what happens when; a new one, which is told")
    parser.add_argument("--directory", type=Path, help="where the files are (the system's for temporary files)")
    parser.add_argument("--into", type=Path, default=Path("soak-report"), help="where the report goes (%(default)s)")
    parser.add_argument("--publish", action="store_true", help="the report goes into bench/soak and docs/soak.md")
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else int.from_bytes(os.urandom(4), "big")
    directory = Path(tempfile.mkdtemp(prefix="bannock-soak-", dir=given.directory))
    course = Course(facts={**facts(directory), "seed": str(seed)}, minutes=given.minutes, services=given.services)
    try:
        with _scene(directory, given, random.Random(seed)) as scene:  # noqa: S311 - to be repeated
            _run(scene, course, given.minutes * 60, given.every)
            _end(scene, course)
        course.left = sorted(path.name for path in (directory / "home" / "tmp").iterdir())
    except (Wrong, RuntimeError, BannockError) as error:
        course.say(f"WRONG: {error}")
        course.wrong.append(str(error))
    finally:
        if course.wrong:
            sys.stderr.write(f"everything is kept in {directory}\n")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    course.write(_PUBLISHED if given.publish else given.into)
    if given.publish:
        insert(_PAGE, "soak", course.markdown())
    sys.stdout.write(course.markdown())
    return int(bool(course.wrong))


@contextmanager
def _scene(directory: Path, given: argparse.Namespace, chance: random.Random) -> Iterator[Scene]:
    """Start everything, and end everything."""
    home = directory / "home"
    (home / "tmp").mkdir(parents=True)
    with ExitStack() as stack:
        disk, cas_disk = Disk(directory / "small", _SMALL_DISK_MIB), Disk(directory / "cas", _CAS_DISK_MIB)
        stack.callback(cas_disk.remove)
        stack.callback(disk.remove)
        cas = Cas(home, cas_disk.path)
        address = free_address()
        las = Server("las", home, ("las", "serve", "--conf", str(home / "las"), "--listen", str(address)), "LAS at")
        for server in (cas, las):
            server.start()
            stack.callback(_ended, server)
        cas.claim()
        proxy = stack.enter_context(Proxy(cas.enclave))
        environment = {
            "HOME": str(home), "TMPDIR": str(home / "tmp"), "PATH": os.defpath, "SCONE_CAS_ADDR": str(proxy.address),
            "BANNOCK_CAS_KEY": str(cas.key), "SCONE_LAS_ADDR": str(address),
            "BANNOCK_CAS_PATIENCE": _PATIENCE_SECONDS,
        }  # fmt: skip
        measurement, key, services = measured(), cas.key, []
        for number in range(given.services):
            volume = (disk.path if number % _ON_SMALL_DISK == 1 else directory) / f"volume-{number}"
            volume.mkdir()
            services.append(
                Service(
                    name=f"service-{number}",
                    home=home,
                    volume=volume,
                    durable=number % _IN_MEMORY != 1,
                    steady=number % _STEADY < 2,  # noqa: PLR2004 - of both kinds of disks
                    measurement=measurement,
                    pause=given.pause,
                    cas=cas,
                    key=key,
                    environment=environment,
                )
            )  # fmt: skip
        stack.callback(_all_ended, services)
        yield Scene(
            services=services, cas=cas, las=las, proxy=proxy, disk=disk, cas_disk=cas_disk, home=home, random=chance
        )


def _run(scene: Scene, course: Course, seconds: float, every: float) -> None:
    """Let things happen until the time is over."""
    for service in scene.services:
        service.post()
        service.start()
        course.say(f"{service.name} runs")
    scene.rush()
    with Sampler(scene, course):
        early = [*OF_SERVERS, *FAULTS]
        scene.random.shuffle(early)
        while course.seconds < seconds:
            scene.wait(every)
            for service in scene.services:
                if service.pid is None:
                    raise Wrong(f"{service.name} has ended by itself: {service.errors}")
            faults = (*FAULTS, *OF_SERVERS) if course.seconds < _EARLY * seconds else FAULTS
            chosen = scene.random.choices(faults, [fault.weight for fault in faults])[0]
            _happen(scene, course, early.pop() if early else chosen)


def _happen(scene: Scene, course: Course, fault: Fault) -> None:
    began = time.monotonic()
    try:
        what = fault.happen(scene)
    except Wrong as wrong:
        raise Wrong(f"{fault.name}: {wrong}") from None
    course.happened[fault.name] = course.happened.get(fault.name, 0) + 1
    course.say(f"{fault.name}: {what} ({time.monotonic() - began:.1f} s)")


def _end(scene: Scene, course: Course) -> None:
    """End and look: every volume once more, then the audit log."""
    for service in scene.services:
        service.stop()
        service.start()
        service.stop()
    course.commits = sum(service.commits for service in scene.services)
    course.starts = sum(service.lives for service in scene.services)
    course.refusals = list(dict.fromkeys(scene.refusals))
    code, said = scene.cas.verified(scene.services[0].key)
    course.audit = f"exit code {code}: {said.splitlines()[-1]}" if said else f"exit code {code}"
    course.say(course.audit)
    if code not in _CORRECT:
        course.wrong.append(f"audit log: {said}")
    for verdict in course.samples.verdicts():
        if not verdict.is_flat:
            course.wrong.append(
                f"{verdict.who}, life {verdict.life}: memory {verdict.rss[0]:.1f} to {verdict.rss[1]:.1f} MiB, "
                f"handles {verdict.handles[0]:g} to {verdict.handles[1]:g}, "
                f"threads {verdict.threads[0]:g} to {verdict.threads[1]:g}"
            )


def _ended(server: Server) -> None:
    with suppress(RuntimeError):
        server.stop()


def _all_ended(services: list[Service]) -> None:
    for service in services:
        if service.pid is not None:
            with suppress(Wrong, OSError):
                service.kill("all")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
