"""A LAS that rehearses hardware: quotes in the genuine format of a platform, by a make-believe vendor that is kept.

The vendor's keys are in a file of the LAS's, so that the machine is the same one after a restart; they protect
nothing, and nobody takes them for a vendor's. The key of the LAS is as it is on hardware: in memory, and renewed.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.errors import InputError
from bannock.evidence.appraisal import EnclaveIdentity
from bannock.evidence.attester import key_binding
from bannock.evidence.envelope import Envelope
from bannock.evidence.platforms import MachineAttester
from bannock.evidence.quotes import SgxQuote, SnpQuote, TdxQuote, TpmQuote
from bannock.evidence.rehearsal.amd import AmdVendor
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.rehearsal.tpm import TpmVendor
from bannock.evidence.report import REPORT_DATA_BYTES, Report
from bannock.files import private_directory, read_private, write_atomically
from bannock.policy.claims import HARDWARE, SIMULATED
from bannock.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bannock.evidence.platforms import QuoteSource, ReportAttester
    from bannock.evidence.quotes import Quote
    from bannock.evidence.rehearsal.knobs import Rehearsal

__all__ = ["rehearse"]

_NOTHING: Final = EnclaveIdentity(
    measurement=Measurement(bytes(32)), signer=Measurement(bytes(32)), product_id=0, svn=0
)


class _Vendor(Protocol):
    def to_json(self) -> bytes: ...


_VendorT = TypeVar("_VendorT", bound=_Vendor)


def rehearse(
    platform: str,
    knobs: Rehearsal,
    directory: Path,
    *,
    machine: Mapping[str, str],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ReportAttester:
    """Make what attests a make-believe machine.

    Args:
        platform: the one that is rehearsed.
        knobs: what is to go wrong.
        directory: of the LAS, where the vendor is kept; made if it is not there.
        machine: what the platform is to say of the machine, by the names of sessions; the rest is made up.
        clock: tells what time it is; what a vendor vouches for ends some time later.

    Raises:
        InputError: there is no such platform, it says no such things of a machine, or what was kept is damaged.
    """
    if platform not in HARDWARE:
        raise InputError(f"what can be rehearsed is {', '.join(sorted(HARDWARE))}, found {platform[:40]!r}")
    path = private_directory(directory) / f"rehearsal-{platform}.json"
    if platform == "sgx":
        if machine:
            raise InputError("sgx says nothing of a machine, so none can be made up", hint="leave --machine out")
        return _EnclaveRehearsal(_Intel(path, knobs, clock), knobs)
    kinds: dict[str, Callable[..., QuoteSource]] = {"tdx": _Tdx, "sev-snp": _Snp, "tpm": _Tpm}
    source = kinds[platform](path, knobs, clock, machine)
    return MachineAttester(_Replay(source) if knobs.replay else source, platform=SIMULATED, rehearses=platform)


class _Intel:
    """Intel, as it is kept in a file."""

    def __init__(self, path: Path, knobs: Rehearsal, clock: Callable[[], datetime]) -> None:
        self._knobs = knobs
        self._clock = clock
        self._kept = _kept(path, IntelVendor.from_json, lambda: IntelVendor(os.urandom, clock()))

    def now(self) -> IntelVendor:
        """Give it with collateral of now."""
        return self._kept.renewed(self._clock(), self._knobs)


class _Tdx:
    def __init__(
        self, path: Path, knobs: Rehearsal, clock: Callable[[], datetime], machine: Mapping[str, str]
    ) -> None:
        self._intel = _Intel(path, knobs, clock)
        self._machine = machine

    def quote(self, public: bytes) -> tuple[Quote, bytes]:
        vendor = self._intel.now()
        quote = vendor.tdx_quote(key_binding(public), self._machine)
        return TdxQuote(key=public, quote=quote), vendor.endorsements().to_json()


class _Snp:
    def __init__(
        self, path: Path, knobs: Rehearsal, clock: Callable[[], datetime], machine: Mapping[str, str]
    ) -> None:
        self._knobs = knobs
        self._clock = clock
        self._machine = machine

        def read(data: bytes) -> AmdVendor:
            return AmdVendor.from_json(data, os.urandom, clock(), knobs)

        self._kept = _kept(path, read, lambda: AmdVendor(os.urandom, clock(), knobs)).to_json()

    def quote(self, public: bytes) -> tuple[Quote, bytes]:
        vendor = AmdVendor.from_json(self._kept, os.urandom, self._clock(), self._knobs)
        return vendor.quote(public, self._machine)


class _Tpm:
    def __init__(
        self, path: Path, knobs: Rehearsal, clock: Callable[[], datetime], machine: Mapping[str, str]
    ) -> None:
        self._clock = clock
        self._machine = machine
        self._kept = _kept(
            path, lambda data: TpmVendor.from_json(data, knobs), lambda: TpmVendor(os.urandom, clock(), knobs)
        )

    def quote(self, public: bytes) -> tuple[Quote, bytes]:
        return self._kept.renewed(self._clock()).quote(public, self._machine)


class _Replay:
    """Gives quotes that were made for another key: of an attester that was overheard."""

    def __init__(self, source: QuoteSource) -> None:
        self._source = source

    def quote(self, public: bytes) -> tuple[Quote, bytes]:
        another = Ed25519PrivateKey.generate().public_key()
        overheard = another.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        quote, endorsements = self._source.quote(overheard)
        if not isinstance(quote, TdxQuote | SnpQuote | TpmQuote):
            raise InputError(f"a quote of platform {quote.platform} vouches for no key")
        return replace(quote, key=public), endorsements


class _EnclaveRehearsal:
    """Gives the quotes that SGX enclaves would get for themselves."""

    platform: str = SIMULATED
    rehearses: str | None = "sgx"

    def __init__(self, intel: _Intel, knobs: Rehearsal) -> None:
        self._intel = intel
        self._knobs = knobs
        self._vendor = intel.now()

    def attest(self, report: Report) -> Envelope:
        """Return evidence for a report, which is the quote's own: it does not tell the instance."""
        identity = EnclaveIdentity(
            measurement=report.measurement, signer=report.signer, product_id=report.product_id, svn=report.svn
        )
        quoted = replace(report, debug=report.debug or self._knobs.debug, instance=None)
        data = bytes(REPORT_DATA_BYTES) if self._knobs.replay else report.data
        return Envelope(
            report=quoted.to_json(),
            quote=SgxQuote(quote=self._vendor.sgx_quote(data, identity, debug=quoted.debug)),
            signature=b"",
            endorsements=self._vendor.endorsements().to_json(),
        )

    def vouched(self) -> tuple[Quote, bytes]:
        """Return a quote of an enclave that is none."""
        quote = self._vendor.sgx_quote(bytes(REPORT_DATA_BYTES), _NOTHING)
        return SgxQuote(quote=quote), self._vendor.endorsements().to_json()

    def renew(self) -> None:
        """Take collateral of now."""
        self._vendor = self._intel.now()


def _kept(path: Path, read: Callable[[bytes], _VendorT], make: Callable[[], _VendorT]) -> _VendorT:
    """Return the vendor in a file, or make both."""
    if path.exists():
        try:
            return read(read_private(path))
        except InputError as error:
            raise InputError(
                f"{path}: {error}", hint="move it away, and a new one is made at the next start"
            ) from error
    vendor = make()
    write_atomically(path, vendor.to_json())
    return vendor
