"""Event logs as firmware writes them (TCG crypto-agile format), for machines that were never started. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from bannock.evidence.tpm.event_log import EV_EFI_ACTION, EV_NO_ACTION, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["UEFI_DEBUG_MODE", "Measured", "event_log", "first_events"]

_BANK: Final = "sha256"
_GLOBAL: Final = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
_SECURITY: Final = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
_EV_SEPARATOR: Final = 0x00000004
_EV_S_CRTM_VERSION: Final = 0x00000008
_EV_EFI_VARIABLE_DRIVER_CONFIG: Final = 0x80000001


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measurement: the register, the type of the event, and what was hashed."""

    register: int
    kind: int
    data: bytes


UEFI_DEBUG_MODE: Final = Measured(register=7, kind=EV_EFI_ACTION, data=b"UEFI Debug Mode")


def first_events(*, secure_boot: bool) -> list[Measured]:
    """Give what firmware measures of itself and of its settings, before it starts anything else."""
    variables = [
        Measured(register=7, kind=_EV_EFI_VARIABLE_DRIVER_CONFIG, data=_variable(vendor, name, value))
        for vendor, name, value in (
            (_GLOBAL, "SecureBoot", b"\x01" if secure_boot else b"\x00"),
            (_GLOBAL, "PK", b"make-believe platform key"),
            (_GLOBAL, "KEK", b"make-believe key exchange key"),
            (_SECURITY, "db", b"make-believe signers"),
            (_SECURITY, "dbx", b""),
        )
    ]
    version = Measured(register=0, kind=_EV_S_CRTM_VERSION, data="make-believe firmware\0".encode("utf-16-le"))
    separators = [Measured(register=index, kind=_EV_SEPARATOR, data=bytes(4)) for index in range(8)]
    return [version, *variables, *separators]


def event_log(events: Iterable[Measured]) -> bytes:
    """Write a log."""
    announced = b"Spec ID Event03\0" + struct.pack("<IBBBBIHHB", 0, 0, 2, 0, 2, 1, 0xB, 32, 0)
    log = struct.pack("<II20sI", 0, EV_NO_ACTION, b"", len(announced)) + announced
    for event in events:
        log += struct.pack("<IIIH", event.register, event.kind, 1, 0xB) + digest_of(_BANK, event.data)
        log += struct.pack("<I", len(event.data)) + event.data
    return log


def _variable(vendor: UUID, name: str, value: bytes) -> bytes:
    return vendor.bytes_le + struct.pack("<QQ", len(name), len(value)) + name.encode("utf-16-le") + value
