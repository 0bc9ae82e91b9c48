"""All that is looked at, area by area."""

from __future__ import annotations

import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.doctor.devices import look_at_devices
from bannock.doctor.engine import look_at_engine, look_at_programs
from bannock.doctor.machine import look_at_machine
from bannock.doctor.services import look_at_cas, look_at_las
from bannock.doctor.software import look_at_environment, look_at_software
from bannock.doctor.storage import Place, look_at_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bannock.doctor.finding import Finding
    from bannock.doctor.services import KnownService

__all__ = ["AREAS", "Circumstances", "examine"]

_DEFAULT_LAS: Final = "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What an examination has to be told.

    Attributes:
        environment: variables of the process.
        now: the time, in seconds of Unix.
        commands: the console scripts.
        cas: the CASes that were attested here.
        las: a LAS that somebody has named; None for the default one.
        conf, state, cache: where keys, the state of ``scone``, and images that were sealed are kept.
    """

    environment: Mapping[str, str]
    now: float
    commands: Sequence[str]
    cas: Sequence[KnownService]
    las: str | None
    conf: Path
    state: Path
    cache: Path


def _machine(known: Circumstances) -> Iterator[Finding]:
    yield from look_at_machine(known.now)


def _devices(_: Circumstances) -> Iterator[Finding]:
    yield from look_at_devices()


def _software(known: Circumstances) -> Iterator[Finding]:
    yield from look_at_software(known.commands, known.environment)
    yield from look_at_environment(known.environment)


def _storage(known: Circumstances) -> Iterator[Finding]:
    yield from look_at_storage(
        [
            Place(what="keys and runs", path=known.conf, private=True),
            Place(what="state of scone", path=known.state, private=True, wanted=0),
            Place(what="sealed images", path=known.cache),
            Place(what="temporary files", path=Path(tempfile.gettempdir())),
        ]
    )


def _engine(known: Circumstances) -> Iterator[Finding]:
    yield from look_at_engine(known.environment, platform.machine())
    yield from look_at_programs(known.environment)


def _services(known: Circumstances) -> Iterator[Finding]:
    yield from look_at_las(known.las or _DEFAULT_LAS, named=known.las is not None)
    yield from look_at_cas(known.cas, known.now)


#: What is looked at → how.
AREAS: Final[Mapping[str, Callable[[Circumstances], Iterator[Finding]]]] = {
    "machine": _machine,
    "devices": _devices,
    "software": _software,
    "storage": _storage,
    "engine": _engine,
    "services": _services,
}


def examine(areas: Sequence[str], known: Circumstances) -> Iterator[tuple[str, list[Finding]]]:
    """Look at areas, one after the other, and yield the name of each with what was found."""
    for area in areas:
        yield area, list(AREAS[area](known))
