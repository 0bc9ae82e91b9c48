"""Whether a host has what a run needs there, and what to do about what is missing."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, causes
from bannock.execution.hosts.facts import TEE_DEVICES, EngineFacts, Facts, SystemFacts, gather
from bannock.execution.hosts.here import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bannock.execution.hosts.book import HostBook
    from bannock.execution.hosts.machine import Machine

__all__ = ["API", "Finding", "State", "check_host", "check_machine", "judge", "judge_engine"]

#: Docker 20.10 and Podman 4.
API: Final = (1, 41)
_GIB: Final = 1 << 30
_FREE_NEEDED: Final = 1 * _GIB
_FREE_WANTED: Final = 10 * _GIB
_CLOCK_SECONDS: Final = 30.0
#: What images call what ``uname`` calls otherwise.
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


class State(enum.StrEnum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: the thing.
        state: how it is; runs need what is not missing.
        found: in words.
        hint: what to do; empty if there is nothing to do.
    """

    what: str
    state: State
    found: str
    hint: str = ""


def check_host(
    book: HostBook, alias: str, environment: Mapping[str, str], *, clock: Callable[[], float], machine: str
) -> list[Finding]:
    """Connect to a host and find out what it has; that it cannot be reached is a finding as well.

    Args:
        book: has the host.
        alias: of the host.
        environment: where ``DOCKER_HOST`` may name this machine's engine.
        clock: tells the time.
        machine: what ``uname -m`` says here.

    Raises:
        NotFoundError: there is no such host.
        InputError: its key is open to others.
    """
    if alias != LOCAL:
        book.get(alias)
    before = clock()
    try:
        with book.open(alias, environment) as host:
            seconds = clock() - before
            known = [] if alias == LOCAL else [_let_in(book, alias, seconds)]
            return [*known, *check_machine(host, clock=clock, machine=machine)]
    except BannockError as error:
        return [_missing("ssh", error)]


def check_machine(host: Machine, *, clock: Callable[[], float], machine: str) -> list[Finding]:
    """Find out what a host has that is open already.

    Raises:
        EnvironmentFault: the connection is lost.
    """
    return judge(gather(host, clock), alias=host.name, machine=machine)


def judge(facts: Facts, *, alias: str, machine: str) -> list[Finding]:
    """Say how each thing is. Pure.

    Args:
        facts: of the host.
        alias: of the host.
        machine: what ``uname -m`` says here.
    """
    return [
        *judge_engine(facts.engine, machine),
        *_of_system(facts.system),
        _tunnel(facts.tunnel),
        _las(facts, alias),
    ]


def _let_in(book: HostBook, alias: str, seconds: float) -> Finding:
    keys = ", ".join(book.pinned(alias))
    return Finding(what="ssh", state=State.OK, found=f"{book.target(alias)}, in {seconds:.1f} s; host key {keys}")


def judge_engine(engine: EngineFacts | BannockError, machine: str) -> Iterator[Finding]:
    """Say how an engine is, or why there is none. Pure; as :func:`judge`."""
    if isinstance(engine, BannockError):
        yield _missing(
            "engine",
            engine,
            "install Docker 20.10 or newer (Debian, Ubuntu: docker.io) or Podman 4 with its socket, and give the user "
            "the right to use it: usermod -aG docker USER",
        )
        return
    api = ".".join(map(str, engine.api)) or "unknown"
    yield Finding(
        what="engine",
        state=State.OK if engine.api >= API else State.MISSING,
        found=f"{engine.kind} {engine.version}, API {api}",
        hint="" if engine.api >= API else f"API {'.'.join(map(str, API))} is needed: Docker 20.10, Podman 4",
    )
    wanted = _ARCHITECTURES.get(machine, machine)
    same = engine.architecture == wanted
    yield Finding(
        what="architecture",
        state=State.OK if same else State.MISSING,
        found=f"{engine.architecture or 'unknown'}, {engine.processors} processors, {_gib(engine.memory)} of memory",
        hint="" if same else f"images that are measured here are for {wanted}: take a host of that architecture",
    )


def _of_system(system: SystemFacts | BannockError) -> Iterator[Finding]:
    if isinstance(system, BannockError):
        yield _missing("system", system, "a POSIX shell, uname, date, df and sed have to be there")
        return
    yield Finding(what="system", state=State.OK, found=f"{system.os or 'unknown'}, Linux {system.kernel}")
    yield _disk(system.free)
    ahead = abs(system.clock) > _CLOCK_SECONDS
    yield Finding(
        what="clock",
        state=State.WARNING if ahead else State.OK,
        found=f"{abs(system.clock):.0f} s {'ahead of' if system.clock > 0 else 'behind'} ours" if ahead else "as ours",
        hint="set it, or certificates may be refused there: systemd-timesyncd, chrony" if ahead else "",
    )
    fuse = "/dev/fuse" in system.devices
    yield Finding(
        what="fuse",
        state=State.OK if fuse else State.WARNING,
        found="/dev/fuse" if fuse else "no /dev/fuse: volumes are opened in memory, and have to fit",
        hint="" if fuse else "modprobe fuse",
    )
    platforms = sorted({TEE_DEVICES[device] for device in system.devices if device in TEE_DEVICES})
    yield Finding(
        what="devices",
        state=State.OK if platforms else State.WARNING,
        found=", ".join(platforms)
        or "none of sgx, tdx, sev-snp, tpm: platform sim, which protects nothing from the host",
    )


def _disk(free: int | None) -> Finding:
    if free is None:
        return Finding(what="disk", state=State.WARNING, found="unknown")
    state = State.MISSING if free < _FREE_NEEDED else State.WARNING if free < _FREE_WANTED else State.OK
    hint = "" if state is State.OK else "images and ciphertext have to fit: docker system prune"
    return Finding(what="disk", state=state, found=f"{_gib(free)} free", hint=hint)


def _tunnel(error: BannockError | None) -> Finding:
    if error is None:
        return Finding(what="tunnels", state=State.OK, found="services of this machine can be reached from there")
    return Finding(
        what="tunnels",
        state=State.WARNING,
        found="services of this machine cannot be reached from there",
        hint="a CAS that the host reaches by itself is needed (-s), or AllowTcpForwarding in its sshd_config",
    )


def _las(facts: Facts, alias: str) -> Finding:
    if isinstance(facts.las, str):
        return Finding(what="las", state=State.OK, found=f"{facts.las_place}, platform {facts.las}")
    return Finding(
        what="las",
        state=State.MISSING,
        found=f"nothing attests at {facts.las_place}",
        hint=f"bannock check-host {alias} --start-las IMAGE, with the image `las`; or start one there: "
        "docker run -d --network host --pid host --cap-add SYS_PTRACE --cap-add SYS_ADMIN IMAGE",
    )


def _missing(what: str, error: BannockError, otherwise: str = "") -> Finding:
    chain = [cause for cause in causes(error) if isinstance(cause, BannockError)]
    found = "; ".join([error.message, *(reason for cause in chain for reason in cause.reasons)])
    hint = next((cause.hint for cause in chain if cause.hint), otherwise)
    return Finding(what=what, state=State.MISSING, found=found, hint=hint if what == "ssh" else otherwise or hint)


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
