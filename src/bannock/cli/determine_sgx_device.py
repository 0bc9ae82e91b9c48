"""The command ``determine_sgx_device``: which device a container has to be given, so that it can attest itself."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from bannock.cli.command import Command
from bannock.cli.options import Parser

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMAND", "DEVICES", "device", "entry", "main"]

_NAME: Final = "determine_sgx_device"
_DESCRIPTION: Final = """\
Print the device by which this machine attests programs: that of SGX, else of TDX, of SEV-SNP, of a TPM 2. Where there
is none, print nothing and warn: programs run in simulation then. The exit code is 0 in both cases."""
_EXAMPLES: Final = f"""\
  export DEVICE=$({_NAME}) && docker-compose up
  eval "$({_NAME} --shell)" && docker run $MOUNT_SGXDEVICE --rm IMAGE"""
#: The strongest platform first; of each, the name that Linux gives its device today before older ones.
DEVICES: Final = (
    "/dev/sgx_enclave",  # Linux 5.11
    "/dev/sgx/enclave",  # udev's link to that, or the device of Intel's DCAP driver
    "/dev/sgx",
    "/dev/isgx",  # Intel's driver before DCAP
    "/dev/tdx_guest",  # Linux 6.2
    "/dev/tdx-guest",  # Intel's kernels before
    "/dev/sev-guest",  # Linux 5.19
    "/dev/tpmrm0",  # Linux 4.12: many programs may use this one at once
    "/dev/tpm0",
)

COMMAND: Final = Command(
    name=_NAME,
    purpose=_DESCRIPTION,
    verbs={(): (__name__, "print the device by which this machine attests programs")},
    examples=_EXAMPLES,
)


def entry() -> NoReturn:
    """Be the console script."""
    COMMAND.enter()


def main(arguments: Sequence[str], root: Path = Path("/")) -> int:
    """Parse, look, print.

    Args:
        arguments: the command line.
        root: where the names of devices start.
    """
    parser = Parser("", _DESCRIPTION, _EXAMPLES, command=_NAME)
    parser.add_argument(
        "--shell", action="store_true", help="print a shell's commands that set SGXDEVICE and MOUNT_SGXDEVICE"
    )
    parsed = parser.parse_args(arguments)
    found = device(root)
    if found is None:
        sys.stderr.write("Warning: No SGX device found, nor one of TDX, SEV-SNP or a TPM! Will run in SIM mode.\n")
    if parsed.shell:
        mount = f"--device={found}" if found else ""
        sys.stdout.write(f"export SGXDEVICE={shlex.quote(found or '')} MOUNT_SGXDEVICE={shlex.quote(mount)}\n")
    elif found is not None:
        sys.stdout.write(f"{found}\n")
    return 0


def device(root: Path) -> str | None:
    """Return the name of the device to give to containers; None if this machine has none."""
    return next((name for name in DEVICES if _is_device(root / name[1:])), None)


def _is_device(path: Path) -> bool:
    # One driver has a device at /dev/sgx, and another one the directory of its devices.
    return path.is_char_device() or (path.name == "sgx" and path.is_dir())


if __name__ == "__main__":
    entry()
