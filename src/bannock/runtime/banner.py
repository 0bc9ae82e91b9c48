"""What ``SCONE_VERSION=1`` prints before the application starts: its settings, its MRENCLAVE, and what protects it.

On standard output, in the form of SCONE's runtime, from which scripts take the third word of ``Enclave hash: …``.
Settings of SCONE that nothing here has (queues, spinning) are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock import __version__
from bannock.identity.settings import EXTENSIONS, normal_settings
from bannock.identity.signer import SignedIdentity
from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.identity.manifest import EnclaveManifest
    from bannock.values import Measurement

__all__ = ["banner", "wants_banner"]

_SIZES: Final = ("SCONE_HEAP", "SCONE_MIN_HEAP", "SCONE_STACK")
_DLOPEN: Final = {"0": "no", "1": "yes (protected)", "2": "yes (unprotected)"}
_SWITCH: Final = {"0": "no", "1": "yes"}
_SPOKEN: Final = {"sgx": "SGX", "tdx": "TDX", "sev-snp": "SEV-SNP", "tpm": "TPM"}


def wants_banner(environment: Mapping[str, str]) -> bool:
    """Whether to print it."""
    return environment.get("SCONE_VERSION", "0") not in ("", "0")


def banner(manifest: EnclaveManifest, measurement: Measurement, platform: str, environment: Mapping[str, str]) -> str:
    """Return the lines.

    Args:
        manifest: of the enclave, with its signature.
        measurement: MRENCLAVE.
        platform: what protects it.
        environment: of the host.

    Raises:
        BannockError: the signature does not hold.
    """
    simulated = platform.startswith(SIMULATED)
    settings = normal_settings(manifest.settings)
    shown = {
        "SCONE_TCS": settings["SCONE_TCS"],
        "SCONE_LOG": environment.get("SCONE_LOG") or "WARNING",
        **{name: settings[name] for name in _SIZES},
        "SCONE_MODE": "sim" if simulated else "hw",
        "SCONE_ALLOW_DLOPEN": _DLOPEN[settings["SCONE_ALLOW_DLOPEN"]],
        "SCONE_MPROTECT": _SWITCH[settings["SCONE_MPROTECT"]],
        "SCONE_FORK": _SWITCH[settings["SCONE_FORK"]],
    }
    if settings[EXTENSIONS]:
        shown[EXTENSIONS] = settings[EXTENSIONS]
    mode = "simulation mode"
    if not simulated:
        debug = SignedIdentity.of(manifest, measurement).debug
        mode = f"{_SPOKEN.get(platform, platform)} {'debug' if debug else 'production'} mode"
    lines = [
        *(f"export {name}={value}" for name, value in shown.items()),
        f"Bannock version: {__version__}",
        f"Enclave hash: {measurement}",
        f"Application runs in {mode}",
    ]
    return "".join(f"{line}\n" for line in lines)
