"""Who gives evidence of this process: the enclave that it is in, or the LAS of its host. Light to import."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable

from bannock.errors import EnvironmentFault
from bannock.evidence.envelope import Envelope
from bannock.evidence.las_client import LasClient
from bannock.evidence.modes import Mode
from bannock.evidence.report import Report
from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    from bannock.identity.manifest import EnclaveManifest
    from bannock.identity.tree import MeasurementTree
    from bannock.values import Measurement

__all__ = ["Activatable", "Attested", "Attester", "EnclaveAttester", "LasAttester", "Observer", "attester_of"]

_log = logging.getLogger("bannock.runtime")

#: Gramine shows it to the enclaves that it runs (:mod:`bannock.evidence.gramine`, which is imported where it is).
_GRAMINE: Final = Path("/dev/attestation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """Evidence of this process, and what it says.

    Attributes:
        evidence: in its envelope.
        measurement: MRENCLAVE.
        tree: what it was made of; None where hardware measured the enclave.
        platform: what protects this process.
    """

    evidence: bytes
    measurement: Measurement
    tree: MeasurementTree | None
    platform: str

    @property
    def debug(self) -> bool:
        """Whether a debugger may look into this process, by the evidence."""
        return Report.from_json(Envelope.from_json(self.evidence).report).debug


#: Learns what is going to be shown to a CAS.
Observer: TypeAlias = Callable[[Attested], None]


class Attester(Protocol):
    """Gives evidence of this process, again and again."""

    def attest(self, manifest: EnclaveManifest, report_data: bytes, /) -> Attested:
        """Return evidence that is bound to 64 bytes.

        Raises:
            EnvironmentFault: there is no such hardware, or nobody answers.
            PeerError: whoever answers misbehaves.
            InputError, DeniedError: this process cannot be measured.
        """

    def close(self) -> None:
        """Let go of what was kept for the next time."""


@runtime_checkable
class Activatable(Protocol):
    """Gives evidence by hardware whose key an authority may vouch for, once the hardware has answered it."""

    def activate(self, challenge: bytes, /) -> None:
        """Pass on the challenge of an authority; evidence says from then on that it vouches for the key.

        Raises:
            EnvironmentFault: the hardware does not answer.
            DeniedError: the challenge is not for this machine, or nothing has to be activated there.
        """


class _Enclave(Protocol):
    def attest(self, report_data: bytes, /) -> Envelope: ...


class LasAttester:
    """Lets the LAS of the host measure this process.

    The connection is kept, and no program that is started gets it: so the LAS knows this process again after its
    memory was hidden, when nobody without rights can look into it any more.

    Args:
        address: of the LAS.
        mode: whether hardware has to vouch for it.
    """

    def __init__(self, address: str, mode: Mode) -> None:
        self._client = LasClient(address, keep=True)
        self._address = address
        self._mode = mode
        self._told = ""

    def attest(self, manifest: EnclaveManifest, report_data: bytes) -> Attested:
        """Return evidence, as the LAS gives it."""
        platform = self._client.platform()
        if self._mode is Mode.HW and platform.platform == SIMULATED:
            raise EnvironmentFault(
                f"SCONE_MODE=hw asks for hardware, and the LAS at {self._address} has platform {platform}",
                reasons=[f"sgx: there is no {_GRAMINE} (Gramine shows it to its enclaves)"],
                hint="start the LAS where there is hardware, with SCONE_MODE=hw, and read what it finds; "
                "or set SCONE_MODE=auto",
            )
        if str(platform) != self._told:
            self._told = str(platform)
            _log.info("the LAS at %s attests this process: platform %s", self._address, platform)
        evidence, tree = self._client.report(manifest, report_data)
        return Attested(evidence=evidence, measurement=tree.root, tree=tree, platform=platform.platform)

    def activate(self, challenge: bytes) -> None:
        """Pass on the challenge of an authority."""
        self._client.activate(challenge)

    def close(self) -> None:
        """End the connection."""
        self._client.close()


class EnclaveAttester:
    """Lets the hardware attest the enclave that this process is in, without a LAS.

    Args:
        enclave: gives evidence of it.
        platform: what it is an enclave of.
    """

    def __init__(self, enclave: _Enclave, platform: str) -> None:
        self._enclave = enclave
        self._platform = platform

    def attest(self, _manifest: EnclaveManifest, report_data: bytes) -> Attested:
        """Return evidence; what was measured is the hardware's to say, and not ours."""
        envelope = self._enclave.attest(report_data)
        measurement = Report.from_json(envelope.report).measurement
        return Attested(evidence=envelope.to_json(), measurement=measurement, tree=None, platform=self._platform)

    def close(self) -> None:
        """Keep nothing."""


def attester_of(las: str, mode: Mode, gramine: Path = _GRAMINE) -> Attester:
    """Choose who gives evidence of this process: the enclave that it is in, if it is in one, else the LAS.

    Args:
        las: address of the LAS.
        mode: whether hardware is wanted.
        gramine: where Gramine shows what it attests.

    Raises:
        InputError: the address of the LAS is malformed.
    """
    if mode is not Mode.SIM and gramine.is_dir():
        module = import_module("bannock.evidence.gramine")
        platform = module.available(gramine)
        if platform is not None:
            _log.info("this process is an enclave of Gramine: platform %s", platform)
            return EnclaveAttester(module.GramineAttester(gramine), platform)
        _log.info("%s gives no quotes, so the LAS attests this process", gramine)
    return LasAttester(las, mode)
