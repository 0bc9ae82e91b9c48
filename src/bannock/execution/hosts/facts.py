"""What a host says of itself: its system, its devices, its container engine, its LAS. Gathered here, judged elsewhere.

All of it is the host's word: good for finding out what is missing, and for nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bannock.errors import BannockError, PeerError
from bannock.evidence.las_client import LasClient
from bannock.images.fields import parse_object
from bannock.net.address import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.execution.hosts.machine import Machine

__all__ = ["TEE_DEVICES", "EngineFacts", "Facts", "SystemFacts", "engine_of", "gather"]

_Found = TypeVar("_Found")

_SECONDS: Final = 20.0
_LAS_SECONDS: Final = 5.0
_ANSWER_BYTES_MAX: Final = 4 << 20
_TEXT_MAX: Final = 200
#: Which platform a device belongs to.
TEE_DEVICES: Final[Mapping[str, str]] = {
    "/dev/sgx_enclave": "sgx",
    "/dev/sgx/enclave": "sgx",
    "/dev/isgx": "sgx",
    "/dev/tdx_guest": "tdx",
    "/dev/sev-guest": "sev-snp",
    "/dev/tpmrm0": "tpm",
}
#: With nothing but what POSIX has, for hosts may be small.
_SCRIPT: Final = """
say() { printf '%s\\t%s\\n' "$1" "$2"; }
directory=$1; shift
say now "$(date +%s)"
say machine "$(uname -m)"
say kernel "$(uname -r)"
say user "$(id -un)"
say os "$(sed -n 's/^PRETTY_NAME="\\{0,1\\}\\([^"]*\\)"\\{0,1\\}$/\\1/p' /etc/os-release 2>/dev/null)"
say free "$({ df -Pk "$directory" || df -Pk /; } 2>/dev/null | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)"
for device in /dev/fuse "$@"; do [ ! -c "$device" ] || say device "$device"; done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFacts:
    """A host's system.

    Attributes:
        machine, kernel, os, user: as ``uname``, the distribution and ``id`` call them.
        clock: seconds that its clock is ahead of ours.
        free: bytes that are free where the engine keeps images; None if it does not say.
        devices: those that matter and are there.
    """

    machine: str
    kernel: str
    os: str
    user: str
    clock: float
    free: int | None
    devices: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """A host's container engine.

    Attributes:
        kind: ``Docker`` or ``Podman``.
        version, api: its own, and that of the interface that it speaks.
        architecture: of the images that it runs, in their words (``amd64``).
        directory: where it keeps them.
        processors, memory: what containers have; memory in bytes.
    """

    kind: str
    version: str
    api: tuple[int, ...]
    architecture: str
    directory: str
    processors: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A host that answers.

    Attributes:
        engine: its engine, or why it cannot be used.
        system: its system, or why it does not say.
        tunnel: why it does not let services of ours be reached from there; None if it does.
        las: what its LAS attests for, or why it does not answer.
        las_place: where containers look for it.
    """

    engine: EngineFacts | BannockError
    system: SystemFacts | BannockError
    tunnel: BannockError | None
    las: str | BannockError
    las_place: str


def gather(machine: Machine, clock: Callable[[], float]) -> Facts:
    """Ask a host for everything; what it does not answer is an error in its place.

    Raises:
        EnvironmentFault: the connection is lost.
    """
    engine = _or_error(lambda: engine_of(machine))
    directory = engine.directory if isinstance(engine, EngineFacts) else "/"
    facts = Facts(
        engine=engine,
        system=_or_error(lambda: _system(machine, directory, clock)),
        # Nobody has to be at the other end.
        tunnel=_error(lambda: machine.reach(Address("127.0.0.1", 9))),
        las=_or_error(lambda: str(LasClient(machine.las_from_here, timeout=_LAS_SECONDS).platform())),
        las_place=machine.las,
    )
    if not machine.is_alive():
        machine.repair(0)
    return facts


def _system(machine: Machine, directory: str, clock: Callable[[], float]) -> SystemFacts:
    before = clock()
    done = machine.run("sh", "-c", _SCRIPT, "sh", directory, *TEE_DEVICES, seconds=_SECONDS)
    after = clock()
    values: dict[str, str] = {}
    devices: set[str] = set()
    for line in done.out.decode(errors="replace").splitlines():
        name, _, value = line.partition("\t")
        if name == "device":
            devices.add(value)
        else:
            values[name] = _plain(value)
    if not values.get("now", "").isdigit():
        raise PeerError(f"host {machine.name} does not say how its system is", reasons=done.err.splitlines()[:3])
    # Whole seconds against the middle of the time in which it has answered.
    ahead = int(values["now"]) + 0.5 - (before + after) / 2
    free = values.get("free", "")
    return SystemFacts(
        machine=values.get("machine", ""),
        kernel=values.get("kernel", ""),
        os=values.get("os", ""),
        user=values.get("user", ""),
        clock=ahead,
        free=int(free) * 1024 if free.isdigit() else None,
        devices=frozenset(devices & {"/dev/fuse", *TEE_DEVICES}),
    )


def engine_of(machine: Machine) -> EngineFacts:
    """Ask the engine of a host what it is.

    Raises:
        EnvironmentFault, DeniedError, PeerError: it does not answer, or does not let us ask.
    """
    version, info = _asked(machine, "/version"), _asked(machine, "/info")
    components = json.dumps(version.get("Components", ""))
    api = str(version.get("ApiVersion", ""))
    return EngineFacts(
        kind="Podman" if "podman" in components.lower() else "Docker",
        version=_plain(version.get("Version", "")),
        api=tuple(int(part) for part in api.split(".")) if api.replace(".", "").isdigit() else (),
        architecture=_plain(version.get("Arch", "")),
        directory=_plain(info.get("DockerRootDir", "")) or "/",
        processors=_number(info.get("NCPU")),
        memory=_number(info.get("MemTotal")),
    )


def _asked(machine: Machine, path: str) -> dict[str, Any]:
    with machine.engine.answer("GET", path, _SECONDS) as answer:
        return parse_object(answer.read(_ANSWER_BYTES_MAX), f"the answer of the engine of host {machine.name}")


def _plain(value: object) -> str:
    """Give what may be shown of a text that a host has made up."""
    return "".join(character for character in str(value) if character.isprintable())[:_TEXT_MAX]


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _or_error(asked: Callable[[], _Found]) -> _Found | BannockError:
    try:
        return asked()
    except BannockError as error:
        return error


def _error(asked: Callable[[], object]) -> BannockError | None:
    found = _or_error(asked)
    return found if isinstance(found, BannockError) else None
