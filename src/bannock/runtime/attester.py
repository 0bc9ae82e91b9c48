"""Who gives evidence of this process: the enclave that it is in, or the LAS of its host. Light to import."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from bannock.errors import EnvironmentFault
from bannock.evidence.las_client import LasClient
from bannock.evidence.modes import Mode
from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    from bannock.identity.manifest import EnclaveManifest
    from bannock.identity.tree import MeasurementTree

__all__ = ["Attester", "LasAttester", "attester_of"]

_log = logging.getLogger("bannock.runtime")


class Attester(Protocol):
    """Gives evidence of this process, again and again."""

    def attest(self, manifest: EnclaveManifest, report_data: bytes, /) -> tuple[bytes, MeasurementTree, str]:
        """Return evidence in its envelope, what was measured, and the platform that protects this process.

        Raises:
            EnvironmentFault: there is no such hardware, or nobody answers.
            PeerError: whoever answers misbehaves.
            InputError, DeniedError: this process cannot be measured.
        """

    def close(self) -> None:
        """Let go of what was kept for the next time."""


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

    def attest(self, manifest: EnclaveManifest, report_data: bytes) -> tuple[bytes, MeasurementTree, str]:
        """Return evidence, as the LAS gives it."""
        platform = self._client.platform()
        if self._mode is Mode.HW and platform.platform == SIMULATED:
            raise EnvironmentFault(
                f"SCONE_MODE=hw asks for hardware, and the LAS at {self._address} has platform {platform}",
                hint="start the LAS where there is hardware, with SCONE_MODE=hw, and read what it finds; "
                "or set SCONE_MODE=auto",
            )
        if str(platform) != self._told:
            self._told = str(platform)
            _log.info("the LAS at %s attests this process: platform %s", self._address, platform)
        evidence, tree = self._client.report(manifest, report_data)
        return evidence, tree, platform.platform

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def attester_of(las: str, mode: Mode) -> Attester:
    """Choose who gives evidence of this process.

    Raises:
        InputError: the address of the LAS is malformed.
    """
    return LasAttester(las, mode)
