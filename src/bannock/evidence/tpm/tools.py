"""The programs of tpm2-tools, which reach a TPM without a compiler on the user's machine.

Nothing secret is in an argument or a file; what lies in temporary files is of the TPM itself, sealed by it, or public.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.values import Secret

__all__ = ["DEVICE", "TpmSession", "tpm_session"]

#: The kernel's own manager of a TPM's few places.
DEVICE: Final = "device:/dev/tpmrm0"
_PATIENCE_SECONDS: Final = 60.0


@contextmanager
def tpm_session(tcti: str) -> Iterator[TpmSession]:
    """Give a place for programs to work in, which is gone afterwards.

    Args:
        tcti: how the TPM is reached (``tpm2-tools``' name for that).
    """
    with tempfile.TemporaryDirectory(prefix="bannock-tpm-") as directory:
        yield TpmSession(Path(directory), tcti)


class TpmSession:
    """Programs that work one after the other, with the files that they leave for each other."""

    def __init__(self, directory: Path, tcti: str) -> None:
        self._directory = directory
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "TPM2TOOLS_TCTI": tcti,
            "TSS2_LOG": "all+NONE",
        }

    def forget(self) -> None:
        """Free the TPM's few places, which nobody else does where the kernel does not manage them."""
        self.run("tpm2_flushcontext", "-t")

    def read(self, name: str) -> bytes:
        """Give what a program has left."""
        return (self._directory / name).read_bytes()

    def write(self, name: str, blob: bytes) -> None:
        """Leave something for a program."""
        (self._directory / name).write_bytes(blob)

    def run(self, program: str, *arguments: str, given: Secret | None = None) -> bytes:
        """Run a program, and give what it says.

        Raises:
            EnvironmentFault: it is not there, or the TPM does not do what it asks for.
        """
        try:
            done = subprocess.run(
                [program, *arguments],
                input=b"" if given is None else given.reveal(),
                capture_output=True,
                check=False,
                cwd=self._directory,
                env=self._environment,
                timeout=_PATIENCE_SECONDS,
            )
        except FileNotFoundError:
            raise EnvironmentFault(f"there is no program {program}", hint="install tpm2-tools") from None
        except subprocess.TimeoutExpired:
            raise EnvironmentFault(f"the TPM does not answer {program}") from None
        except OSError as error:
            raise EnvironmentFault(f"cannot run {program}: {error.strerror}") from error
        if done.returncode:
            lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "ERROR" in line]
            said = lines[0].removeprefix("ERROR: ") if lines else f"status {done.returncode}"
            raise EnvironmentFault(f"{program} cannot use the TPM: {said}")
        return done.stdout
