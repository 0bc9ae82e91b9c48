"""What ``SCONE_VERSION=1`` prints before the application starts: its settings, its MRENCLAVE, and what protects it.

On standard output, in the form of SCONE's runtime, from which scripts take the third word of ``Enclave hash: …``.
Settings of SCONE that nothing here has (queues, spinning) are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock import __version__
from bannock.identity.settings import EXTENSIONS, normal_settings
from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.values import Measurement

__all__ = ["banner", "wants_banner"]

_SIZES: Final = ("SCONE_HEAP", "SCONE_MIN_HEAP", "SCONE_STACK")
_DLOPEN: Final = {"0": "no", "1": "yes (protected)", "2": "yes (unprotected)"}
_SWITCH: Final = {"0": "no", "1": "yes"}
_SPOKEN: Final = {"sgx": "SGX", "tdx": "TDX", "sev-snp": "SEV-SNP", "tpm": "TPM"}


def wants_banner(environment: Mapping[str, str]) -> bool:
    """Whether to print it."""
    return environment.get("SCONE_VERSION", "0") not in ("", "0")


def banner(
    settings: Mapping[str, str],
    measurement: Measurement,
    platform: str,
    environment: Mapping[str, str],
    *,
    debug: bool = False,
) -> str:
    """Return the lines.

    Args:
        settings: of the enclave, as they are given.
        measurement: MRENCLAVE.
        platform: what protects it.
        environment: of the host.
        debug: whether a debugger may look into it.
    """
    measured = normal_settings(settings)
    simulated = platform.startswith(SIMULATED)
    shown = {
        "SCONE_TCS": measured["SCONE_TCS"],
        "SCONE_LOG": environment.get("SCONE_LOG") or "WARNING",
        **{name: measured[name] for name in _SIZES},
        "SCONE_MODE": "sim" if simulated else "hw",
        "SCONE_ALLOW_DLOPEN": _DLOPEN[measured["SCONE_ALLOW_DLOPEN"]],
        "SCONE_MPROTECT": _SWITCH[measured["SCONE_MPROTECT"]],
        "SCONE_FORK": _SWITCH[measured["SCONE_FORK"]],
    }
    if measured[EXTENSIONS]:
        shown[EXTENSIONS] = measured[EXTENSIONS]
    mode = "simulation mode"
    if not simulated:
        mode = f"{_SPOKEN.get(platform, platform)} {'debug' if debug else 'production'} mode"
    lines = [
        *(f"export {name}={value}" for name, value in shown.items()),
        f"Bannock version: {__version__}",
        f"Enclave hash: {measurement}",
        f"Application runs in {mode}",
    ]
    return "".join(f"{line}\n" for line in lines)
