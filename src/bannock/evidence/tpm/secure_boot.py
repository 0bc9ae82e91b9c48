"""Whether a machine was started with UEFI Secure Boot, from the event log of its firmware. Pure.

Types of events are not measured, and their data need not be what was hashed. So whoever rules the machine can relabel
events and make data up. Here an event counts for its data alone, and only if their hash is what was measured; the
first separator ends what the firmware says of its settings, whatever it is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from bannock.errors import EvidenceError
from bannock.evidence.tpm.event_log import digest_of
from bannock.evidence.tpm.reader import Reader

if TYPE_CHECKING:
    from bannock.evidence.tpm.event_log import Event, EventLog

__all__ = ["SECURE_BOOT_REGISTER", "SecureBoot", "secure_boot"]

#: Where the firmware measures its policy of secure boot (PC Client Platform Firmware Profile, section 3.3.4.8).
SECURE_BOOT_REGISTER: Final = 7
#: EFI_GLOBAL_VARIABLE (UEFI, section 3.3).
_GLOBAL: Final = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
_SECURE_BOOT: Final = "SecureBoot"
_DEBUG: Final = b"UEFI Debug Mode"
_SEPARATORS: Final = (bytes(4), b"\xff\xff\xff\xff")
_NAME_CHARACTERS_MAX: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureBoot:
    """What a log says.

    Attributes:
        enabled: whether only what the firmware's keys have signed was started; None where the log does not tell.
        debug: whether a debugger of the firmware could be used.
        reason: why the log does not tell.
    """

    enabled: bool | None
    debug: bool = False
    reason: str = ""


def secure_boot(log: EventLog, bank: str) -> SecureBoot:
    """Read it from a log whose replay has given what the hardware says of the register."""
    values: list[bytes] = []
    debug = False
    for event in log.of(SECURE_BOOT_REGISTER):
        if event.digests[bank] in (digest_of(bank, each) for each in _SEPARATORS):
            break
        if not event.tells(bank):
            return SecureBoot(enabled=None, debug=debug, reason="an event before the separator is not what was hashed")
        debug = debug or event.data.rstrip(b"\0") == _DEBUG
        value = _secure_boot_variable(event)
        if value is not None:
            values.append(value)
    else:
        return SecureBoot(enabled=None, debug=debug, reason="there is no separator in register 7")
    if len(values) != 1:
        return SecureBoot(enabled=None, debug=debug, reason=f"the variable SecureBoot is measured {len(values)} times")
    return SecureBoot(enabled=values[0] == b"\x01", debug=debug)


def _secure_boot_variable(event: Event) -> bytes | None:
    """Give the value of the variable if that is what the event has (UEFI_VARIABLE_DATA)."""
    reader = Reader(event.data, "a variable of the firmware", "little")
    try:
        vendor, characters, size = reader.take(16), reader.number(8), reader.number(8)
        if characters > _NAME_CHARACTERS_MAX:
            return None
        name, value = reader.take(2 * characters), reader.take(size)
        reader.end()
    except EvidenceError:
        return None
    if vendor != _GLOBAL or name != _SECURE_BOOT.encode("utf-16-le"):
        return None
    return value
