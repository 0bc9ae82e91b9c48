"""Event logs of firmware: what was measured into registers, and what the registers have to stand at by that. Pure.

TCG PC Client Platform Firmware Profile, section 10: the crypto-agile format and the older one of SHA-1 alone. The
CCEL table of a confidential machine (ACPI; UEFI 2.10, section 38) has the first of them, over registers of its own:
0 is MRTD, 1 to 4 are RTMR0 to RTMR3. A log proves nothing by itself: whoever has it compares what it gives with what
the hardware says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives import hashes

from bannock.errors import EvidenceError
from bannock.evidence.tpm.algorithms import HASHES
from bannock.evidence.tpm.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EVENT_LOG_BYTES_MAX", "EV_EFI_ACTION", "EV_NO_ACTION", "Event", "EventLog", "digest_of", "extended"]

#: Firmware reserves 64 KiB, and the kernel appends what came after it took over.
EVENT_LOG_BYTES_MAX: Final = 256 << 10
EV_NO_ACTION: Final = 0x00000003
EV_EFI_ACTION: Final = 0x80000007

_SPEC_ID: Final = b"Spec ID Event03\0"
_LOCALITY: Final = b"StartupLocality\0"
_EVENTS_MAX: Final = 8192
_REGISTERS_MAX: Final = 24
_ALGORITHMS_MAX: Final = 16
_DIGEST_BYTES_MAX: Final = 64
_SHA1_BYTES: Final = 20
_WHAT: Final = "the event log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One measurement.

    Attributes:
        register: which one it went into.
        kind: its type, which was not measured: nothing may be believed for its sake.
        digests: bank → what was measured.
        data: what it tells of that, which is believed only as far as it is what was hashed.
    """

    register: int
    kind: int
    digests: Mapping[str, bytes]
    data: bytes

    def tells(self, bank: str) -> bool:
        """Whether its data are what was hashed."""
        return bank in self.digests and self.digests[bank] == digest_of(bank, self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLog:
    """A log.

    Attributes:
        banks: for which its events have digests.
        events: in their order.
    """

    banks: tuple[str, ...]
    events: tuple[Event, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse a log, in whichever of the formats it is.

        Raises:
            EvidenceError: it is malformed.
        """
        if len(data) > EVENT_LOG_BYTES_MAX:
            raise EvidenceError(f"{_WHAT} has at most {EVENT_LOG_BYTES_MAX} bytes, found {len(data)}")
        reader = Reader(data, _WHAT, "little")
        first = _old_event(reader)
        if not (first.kind == EV_NO_ACTION and first.data.startswith(_SPEC_ID)):
            events = [first]
            while reader.left and not _is_padding(data[-reader.left :]):
                events.append(_old_event(reader))
                _require_count(events)
            return cls(banks=("sha1",), events=tuple(events))
        sizes = _algorithms(first.data)
        events = []
        while reader.left and not _is_padding(data[-reader.left :]):
            events.append(_event(reader, sizes))
            _require_count(events)
        return cls(banks=tuple(HASHES[number][0] for number in sizes if number in HASHES), events=tuple(events))

    def of(self, register: int) -> list[Event]:
        """Give what was measured into a register, in order."""
        return [event for event in self.events if event.register == register and event.kind != EV_NO_ACTION]

    def replay(self, bank: str) -> dict[int, bytes]:
        """Give what the registers of a bank stand at after all events; those without events are left out.

        Raises:
            EvidenceError: an event has no digest for the bank.
        """
        values: dict[int, bytes] = {}
        for event in self.events:
            if event.kind == EV_NO_ACTION:
                continue
            if bank not in event.digests:
                raise EvidenceError(f"an event of register {event.register} has no digest for bank {bank}")
            before = values.get(event.register)
            if before is None:
                before = self._initial(event.register, len(event.digests[bank]))
            values[event.register] = extended(bank, before, event.digests[bank])
        return values

    def _initial(self, register: int, size: int) -> bytes:
        """Give what a register starts at: zeros; register 0 with the locality that the TPM was started from."""
        if register == 0:
            for event in self.events:
                if (
                    event.kind == EV_NO_ACTION
                    and event.data.startswith(_LOCALITY)
                    and len(event.data) > len(_LOCALITY)
                ):
                    return bytes(size - 1) + event.data[len(_LOCALITY) :][:1]
        return bytes(size)


def extended(bank: str, value: bytes, digest: bytes) -> bytes:
    """Give what a register stands at after an extension (part 1 of the TPM 2.0 Library, section 17.2)."""
    return digest_of(bank, value + digest)


def digest_of(bank: str, data: bytes) -> bytes:
    """Hash with the algorithm of a bank."""
    digest = hashes.Hash(next(algorithm for name, algorithm in HASHES.values() if name == bank))
    digest.update(data)
    return digest.finalize()


def _old_event(reader: Reader) -> Event:
    register, kind, digest = reader.number(4), reader.number(4), reader.take(_SHA1_BYTES)
    data = reader.sized(width=4)
    return _checked(Event(register=register, kind=kind, digests={"sha1": digest}, data=data))


def _event(reader: Reader, sizes: Mapping[int, int]) -> Event:
    register, kind, count = (reader.number(4) for _ in range(3))
    if count > len(sizes):
        raise EvidenceError(f"an event of {_WHAT} has {count} digests, and there are {len(sizes)} algorithms")
    digests: dict[str, bytes] = {}
    for _ in range(count):
        number = reader.number(2)
        if number not in sizes:
            raise EvidenceError(
                f"an event of {_WHAT} has a digest of algorithm 0x{number:04x}, which is not announced"
            )
        digest = reader.take(sizes[number])
        if number in HASHES:
            digests[HASHES[number][0]] = digest
    return _checked(Event(register=register, kind=kind, digests=digests, data=reader.sized(width=4)))


def _checked(event: Event) -> Event:
    # Firmware tells of itself with the number -1, in events that are not measured.
    if event.register >= _REGISTERS_MAX and event.kind != EV_NO_ACTION:
        raise EvidenceError(f"{_WHAT} has an event of register {event.register}, expected one below {_REGISTERS_MAX}")
    return event


def _algorithms(data: bytes) -> dict[int, int]:
    """Read TCG_EfiSpecIDEvent: number of each algorithm → size of its digests."""
    reader = Reader(data, f"the first event of {_WHAT}", "little")
    reader.take(len(_SPEC_ID) + 8)  # class of the platform, version, and size of its numbers
    count = reader.number(4)
    if not 0 < count <= _ALGORITHMS_MAX:
        raise EvidenceError(f"{_WHAT} has digests of 1 to {_ALGORITHMS_MAX} algorithms, found {count}")
    sizes: dict[int, int] = {}
    for _ in range(count):
        number, size = reader.number(2), reader.number(2)
        expected = HASHES[number][1].digest_size if number in HASHES else min(size, _DIGEST_BYTES_MAX)
        if number in sizes or size != expected:
            raise EvidenceError(f"{_WHAT} announces algorithm 0x{number:04x} twice, or with {size} bytes")
        sizes[number] = size
    reader.sized(width=1)
    reader.end()
    return sizes


def _require_count(events: list[Event]) -> None:
    if len(events) > _EVENTS_MAX:
        raise EvidenceError(f"{_WHAT} has at most {_EVENTS_MAX} events")


def _is_padding(rest: bytes) -> bool:
    """Whether nothing follows: tables of firmware are larger than the log in them, and filled with either byte."""
    return rest[0] in (0x00, 0xFF) and rest.count(rest[:1]) == len(rest)
