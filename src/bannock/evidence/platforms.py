"""What can attest this machine: found where the kernel shows it, and chosen by how much it protects.

Where hardware vouches, the key that signs reports is made here, lives in memory alone, and is renewed together with
the quote for it. Which code asks the hardware is loaded once it is chosen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.errors import DeniedError, EnvironmentFault, InputError
from bannock.evidence.attester import KeyAttester, SimAttester
from bannock.evidence.modes import Mode
from bannock.policy.claims import MACHINES, SIMULATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bannock.evidence.envelope import Envelope
    from bannock.evidence.quotes import Quote
    from bannock.evidence.report import Report

__all__ = [
    "TSM_DIRECTORY",
    "Activatable",
    "Chosen",
    "MachineAttester",
    "Places",
    "QuoteSource",
    "ReportAttester",
    "TpmUse",
    "choose",
]

TSM_DIRECTORY: Final = Path("/sys/kernel/config/tsm/report")
_OF_TSM: Final = ("tdx", "sev-snp")
_TPM_DEVICES: Final = (Path("/dev/tpmrm0"), Path("/dev/tpm0"))
#: As the programs of tpm2-tools take it: how to reach a TPM that is no device of this machine.
_TCTI_VARIABLE: Final = "TPM2TOOLS_TCTI"


class QuoteSource(Protocol):
    """Gets quotes from hardware, or makes them up under a make-believe vendor."""

    def quote(self, public: bytes, /) -> tuple[Quote, bytes]:
        """Give a quote that vouches for a key (DER SubjectPublicKeyInfo), with the endorsements that come along.

        Raises:
            EnvironmentFault: the hardware does not give one.
        """


@runtime_checkable
class Activatable(Protocol):
    """Attests by a key that an authority may vouch for, once the hardware has proven to have it."""

    def activate(self, challenge: bytes, /) -> None:
        """Answer the challenge of an authority; evidence says from then on that it vouches for the key.

        Raises:
            DeniedError: nothing has to be activated here.
            EvidenceError: the challenge is malformed, or not for this machine.
            EnvironmentFault: the hardware does not answer.
        """


class ReportAttester(Protocol):
    """Turns reports into evidence.

    Attributes:
        platform: what protects enclaves here; ``sim`` for what only rehearses a platform.
        rehearses: the platform that is rehearsed, or None.
    """

    platform: str
    rehearses: str | None

    def attest(self, report: Report) -> Envelope:
        """Return evidence for a report."""

    def vouched(self) -> tuple[Quote, bytes]:
        """Return a quote of this machine with the endorsements that come along, whatever it vouches for."""

    def renew(self) -> None:
        """Make the key and the quote for it anew, where they are not kept.

        Raises:
            EnvironmentFault: the hardware does not give a quote; the ones that were there are in force.
        """


class MachineAttester:
    """Signs reports by a key in memory that a quote of the machine vouches for; may be used from any thread."""

    def __init__(self, source: QuoteSource, *, platform: str, rehearses: str | None = None) -> None:
        self.platform = platform
        self.rehearses = rehearses
        self._source = source
        self._current = self._made()

    def attest(self, report: Report) -> Envelope:
        """Return evidence for a report."""
        return self._current.attest(report)

    def vouched(self) -> tuple[Quote, bytes]:
        """Return the quote that is in force."""
        current = self._current
        return current.quote, current.endorsements

    def renew(self) -> None:
        """Make key and quote anew."""
        self._current = self._made()

    def activate(self, challenge: bytes) -> None:
        """Answer the challenge of an authority."""
        if not isinstance(self._source, Activatable):
            raise DeniedError(f"platform {self.platform} has no key that had to be activated")
        self._source.activate(challenge)
        # The key stays: its quote says more of it than before.
        self._current = KeyAttester(self._key, self._source.quote)

    def _made(self) -> KeyAttester:
        key = Ed25519PrivateKey.generate()
        made = KeyAttester(key, self._source.quote)
        self._key = key
        return made


class SimulatedAttester:
    """Signs reports on a host without protection, by a key that vouches for itself and is kept."""

    platform: str = SIMULATED
    rehearses: str | None = None

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._attester = SimAttester(key)

    def attest(self, report: Report) -> Envelope:
        """Return evidence for a report."""
        return self._attester.attest(report)

    def vouched(self) -> tuple[Quote, bytes]:
        """Return the quote, which is the key."""
        return self._attester.quote, b""

    def renew(self) -> None:
        """Keep the key: sessions name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmUse:
    """How a TPM is used.

    Attributes:
        directory: where certificates of its keys are kept; None for memory.
        pcrs: the registers that are quoted, ``sha256:0,7``; None for those of a start.
        event_log: whether the log of the firmware comes along.
    """

    directory: Path | None = None
    pcrs: str | None = None
    event_log: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where hardware shows itself.

    Attributes:
        tsm: the kernel's directory for reports of trust domains and of SEV-SNP guests.
        tcti: how programs of tpm2-tools reach the TPM; None if there is none.
        tpm: how the TPM is used.
    """

    tsm: Path = TSM_DIRECTORY
    tcti: str | None = None
    tpm: TpmUse = field(default_factory=TpmUse)

    @classmethod
    def of(cls, environment: Mapping[str, str], tpm: TpmUse | None = None) -> Places:
        """Look where the environment says, or at this machine's own TPM."""
        device = next((f"device:{path}" for path in _TPM_DEVICES if path.exists()), None)
        return cls(tcti=environment.get(_TCTI_VARIABLE) or device, tpm=tpm or TpmUse())


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What attests this machine.

    Attributes:
        attester: signs reports.
        reason: why it was chosen, in words for the log.
    """

    attester: ReportAttester
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What was found at a place: how to get quotes there, or why not."""

    platform: str
    what: str
    source: Callable[[], QuoteSource] | None


def choose(mode: Mode, wanted: str | None, places: Places, key: Callable[[], Ed25519PrivateKey]) -> Chosen:
    """Choose what attests this machine: the strongest there is.

    Args:
        mode: whether to insist on hardware, or to do without.
        wanted: the platform that it has to be; None for any.
        places: where to look for it.
        key: gives the key that is kept, for simulation.

    Raises:
        InputError: the mode and the platform contradict each other.
        EnvironmentFault: there is no such hardware, and what was looked for and found is in the reasons; or the one
            that was chosen does not give a quote.
    """
    if wanted is not None and wanted not in {SIMULATED, *MACHINES}:
        raise InputError(
            f"a LAS attests machines of the platforms sim, {', '.join(sorted(MACHINES))}: {wanted[:40]!r}"
        )
    if wanted is not None and mode is not Mode.AUTO and (mode is Mode.SIM) != (wanted == SIMULATED):
        raise InputError(f"SCONE_MODE={mode} and platform {wanted} contradict each other")
    if mode is Mode.SIM or wanted == SIMULATED:
        return Chosen(attester=SimulatedAttester(key()), reason="it was asked for")
    looked = list(_look(places))
    usable = [each for each in looked if each.source is not None and wanted in (None, each.platform)]
    told = [each.what for each in looked if wanted in (None, each.platform)]
    if usable and usable[0].source is not None:
        first = usable[0]
        try:
            attester = MachineAttester(usable[0].source(), platform=first.platform)
        except EnvironmentFault as error:
            # A weaker platform instead would be a surprise that nobody sees.
            raise EnvironmentFault(
                f"{first.platform} was chosen ({first.what}), and it does not attest this machine",
                hint="mend that, or choose another platform: --platform, or SCONE_MODE=sim for development",
            ) from error
        return Chosen(attester=attester, reason=first.what)
    if mode is Mode.HW or wanted is not None:
        raise EnvironmentFault(
            f"there is no {wanted or 'hardware'} here that could attest this machine",
            reasons=told,
            hint="start the LAS as root in a confidential virtual machine or on a machine with a TPM 2, "
            "or with SCONE_MODE=sim for development",
        )
    return Chosen(attester=SimulatedAttester(key()), reason="; ".join(told))


def _look(places: Places) -> Iterator[_Looked]:
    """Look at every place, the strongest platforms first."""
    yield from _look_at_tsm(places.tsm)
    yield _look_at_tpm(places.tcti, places.tpm)


def _look_at_tsm(directory: Path) -> Iterator[_Looked]:
    what = None
    if not directory.is_dir():
        what = f"there is no {directory} (Linux 6.7 or later shows it there, with configfs)"
    elif not os.access(directory, os.W_OK):
        what = f"{directory} is not for this user"
    if what is not None:
        yield from (_Looked(platform=each, what=f"{each}: {what}", source=None) for each in _OF_TSM)
        return
    tsm = import_module("bannock.evidence.tsm")
    found = tsm.available(directory)
    for each in _OF_TSM:
        if found == each:
            what = f"{each}: {directory} gives quotes"
            yield _Looked(platform=each, what=what, source=lambda: tsm.TsmReporter(directory))
        else:
            what = f"{each}: {directory} is of {found or 'no provider that is known'}"
            yield _Looked(platform=each, what=what, source=None)


def _look_at_tpm(tcti: str | None, use: TpmUse) -> _Looked:
    if tcti is None:
        devices = " or ".join(map(str, _TPM_DEVICES))
        return _Looked(platform="tpm", what=f"tpm: there is no {devices}, and no ${_TCTI_VARIABLE}", source=None)
    tpm = import_module("bannock.evidence.tpm.attester")
    if (missing := tpm.unavailable(tcti)) is not None:
        return _Looked(platform="tpm", what=f"tpm: {missing}", source=None)

    def source() -> QuoteSource:
        pcrs, log = use.pcrs or tpm.PCRS, tpm.EVENT_LOG if use.event_log else None
        reporter: QuoteSource = tpm.TpmReporter(tcti, directory=use.directory, pcrs=pcrs, event_log=log)
        return reporter

    return _Looked(platform="tpm", what=f"tpm: {tcti} answers", source=source)
