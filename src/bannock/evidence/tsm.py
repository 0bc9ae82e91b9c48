"""Quotes from the machine that this runs in: Linux's directory for reports of trust domains and SEV-SNP guests.

Source: Documentation/ABI/testing/configfs-tsm-report of Linux (6.7 and later). A directory is made below it, what the
quote is to be bound to is written into ``inblob``, and ``outblob`` gives the quote. The kernel counts the writes in
``generation``. It drops a write without a word where it cannot take it, since a binary attribute takes effect when it
is closed; so the count is what tells whose quote was read.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, EvidenceError, InputError
from bannock.evidence.attester import key_binding
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import SnpQuote, TdxQuote
from bannock.evidence.snp.table import certificates_of_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["TSM_DIRECTORY", "TsmReport", "TsmReporter", "available"]

_log = logging.getLogger("bannock.evidence")

TSM_DIRECTORY: Final = Path("/sys/kernel/config/tsm/report")
#: What the kernel calls its provider → platform.
_PROVIDERS: Final[Mapping[str, str]] = {"tdx_guest": "tdx", "sev_guest": "sev-snp"}
_DATA_BYTES: Final = 64
#: The kernel's own limit was 32 KiB; a quote has some 5 KiB.
_BLOB_BYTES_MAX: Final = 1 << 20
_TEXT_BYTES_MAX: Final = 4096
#: Waits between attempts; a quote of a trust domain is made by a service of the host, for one guest at a time.
_WAITS: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
#: What passes: somebody else's quote is being made, or the host is slow.
_PASSING: Final = frozenset({errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT})
_HINT: Final = "the service must be root in a TDX or SEV-SNP guest with Linux 6.7 or later, and configfs be mounted"


@dataclass(frozen=True, slots=True, kw_only=True)
class TsmReport:
    """What the kernel gave.

    Attributes:
        platform: ``tdx`` or ``sev-snp``.
        quote: the quote, or the attestation report.
        certificates: DER, that the host handed along; not trusted.
    """

    platform: str
    quote: bytes
    certificates: tuple[bytes, ...] = ()


def available(directory: Path = TSM_DIRECTORY) -> str | None:
    """Give the platform that the kernel gives quotes of: ``tdx``, ``sev-snp``, or None where it gives none."""
    try:
        with _entry(directory, os.urandom) as entry:
            return _PROVIDERS.get(_text(entry / "provider"))
    except OSError:
        return None


class TsmReporter:
    """Gets quotes from the kernel; may be used from any thread, and beside other programs.

    Args:
        directory: the kernel's.
        level: VMPL that an SEV-SNP report is to be of; None for the best that the kernel allows.
        random: gives that many random bytes, for names.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        directory: Path = TSM_DIRECTORY,
        *,
        level: int | None = None,
        random: Callable[[int], bytes] = os.urandom,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._directory = directory
        self._level = level
        self._random = random
        self._sleep = sleep

    def quote(self, key: bytes) -> tuple[TdxQuote | SnpQuote, bytes]:
        """Give a quote for a key, DER SubjectPublicKeyInfo, with the endorsements that come along.

        Raises:
            EnvironmentFault: the kernel does not give one.
        """
        report = self.report(key_binding(key))
        if report.platform == "tdx":
            return TdxQuote(key=key, quote=report.quote), b""
        endorsements = Endorsements(certificates=report.certificates)
        return SnpQuote(key=key, report=report.quote), endorsements.to_json() if endorsements else b""

    def report(self, data: bytes) -> TsmReport:
        """Give a quote that is bound to 64 bytes.

        Raises:
            InputError: they are not 64.
            EnvironmentFault: the kernel does not give one.
        """
        if len(data) != _DATA_BYTES:
            raise InputError(f"a quote is bound to {_DATA_BYTES} bytes, found {len(data)}")
        why = ""
        for wait in (*_WAITS, None):
            try:
                with _entry(self._directory, self._random) as entry:
                    return self._report(entry, data)
            except OSError as error:
                why = _told(error)
                if error.errno not in _PASSING:
                    break
            if wait is not None:
                self._sleep(wait)
        raise EnvironmentFault(f"the kernel gives no quote below {self._directory}: {why}", hint=_HINT)

    def _report(self, entry: Path, data: bytes) -> TsmReport:
        """Make one attempt, in a directory of its own."""
        provider = _text(entry / "provider")
        platform = _PROVIDERS.get(provider)
        if platform is None:
            raise EnvironmentFault(
                f"{entry.parent} gives quotes of {provider[:40]!r}; known are {', '.join(_PROVIDERS)}"
            )
        expected = _number(entry / "generation")
        level = self._wanted_level(entry)
        if level is not None:
            _write(entry / "privlevel", str(level).encode("ascii"))
            expected += 1
        _write(entry / "inblob", data)
        expected += 1
        _require_generation(entry, expected)
        quote = _read(entry / "outblob", _BLOB_BYTES_MAX)
        certificates = self._certificates(entry) if platform == "sev-snp" else ()
        _require_generation(entry, expected)
        if data not in quote:
            raise OSError(errno.EAGAIN, "its quote is bound to something else than what was written")
        return TsmReport(platform=platform, quote=quote, certificates=certificates)

    def _wanted_level(self, entry: Path) -> int | None:
        """Give the level to ask for: below an SVSM the kernel is not at 0, and may not ask for that."""
        if not (entry / "privlevel").exists():
            return None
        if self._level is not None:
            return self._level
        return _number(entry / "privlevel_floor") or None

    def _certificates(self, entry: Path) -> tuple[bytes, ...]:
        """Give what the host handed along; without it, whoever verifies asks AMD."""
        try:
            return tuple(certificates_of_table(_read(entry / "auxblob", _BLOB_BYTES_MAX)).values())
        except FileNotFoundError:
            return ()
        except EvidenceError as error:
            _log.warning("the host gives no certificates along with the SEV-SNP report: %s", error)
            return ()


@contextmanager
def _entry(directory: Path, random: Callable[[int], bytes]) -> Iterator[Path]:
    """Have a directory that nobody else asks in."""
    entry = directory / f"bannock-{random(8).hex()}"
    entry.mkdir()
    try:
        yield entry
    finally:
        try:
            entry.rmdir()
        except OSError as error:
            _log.warning("%s stays: %s", entry, _told(error))


def _require_generation(entry: Path, expected: int) -> None:
    found = _number(entry / "generation")
    if found != expected:
        raise OSError(
            errno.EAGAIN, f"somebody else wrote, or a write was dropped: generation {found}, expected {expected}"
        )


def _number(path: Path) -> int:
    text = _text(path)
    if not text.isascii() or not text.isdigit():
        raise EnvironmentFault(f"{path} is a number, found {text[:40]!r}")
    return int(text)


def _text(path: Path) -> str:
    return _read(path, _TEXT_BYTES_MAX).decode("ascii", "backslashreplace").strip()


def _read(path: Path, limit: int) -> bytes:
    # To the end: attributes have no size that could be relied on.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = bytearray()
        while part := os.read(descriptor, limit + 1 - len(content)):
            content += part
            if len(content) > limit:
                raise EnvironmentFault(f"{path} has more than {limit} bytes")
    finally:
        os.close(descriptor)
    return bytes(content)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        # In one piece, as an attribute takes it.
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.EIO, "it was not written as a whole", str(path))
    finally:
        os.close(descriptor)


def _told(error: OSError) -> str:
    name = "" if error.filename is None else f"{error.filename}: "
    return f"{name}{error.strerror or error}"
