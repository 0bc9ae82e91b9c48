"""A TPM 2.0, by the programs of tpm2-tools: it seals the master key, and has a counter that nobody can turn back.

What it has sealed only it opens: a disk that is taken out, or a backup of it, is of no use without the machine.
Nothing secret is in an argument or a file; what lies in temporary files is of the TPM itself, and sealed by it.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.cas.sealing import KEY_BYTES
from bannock.errors import EnvironmentFault, InputError, IntegrityError
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DEVICE", "FORMAT", "Tpm"]

FORMAT: Final = "bannock-master-key-1"
#: The kernel's own manager of a TPM's few places.
DEVICE: Final = "device:/dev/tpmrm0"
_PATIENCE_SECONDS: Final = 60.0
_COUNTER: Final = "0x01800ba0"
_PCRS: Final = re.compile(r"sha(?:1|256|384|512):\d{1,2}(?:,\d{1,2})*")
#: Only this TPM, below this parent, and by nobody's password.
_OBJECT: Final = "fixedtpm|fixedparent|userwithauth|noda"
_OBJECT_BY_POLICY: Final = "fixedtpm|fixedparent|adminwithpolicy|noda"
_NUMBER_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Tpm:
    """One TPM.

    Attributes:
        tcti: how it is reached (``tpm2-tools``' name for that).
        pcrs: registers that have to be as they were when the key was sealed, such as ``sha256:7``; changes of the
            firmware or the boot loader change them.
        counter: the index of its counter; each CAS needs one of its own.
    """

    tcti: str = DEVICE
    pcrs: str | None = None
    counter: str = _COUNTER

    def __post_init__(self) -> None:
        if self.pcrs is not None and not _PCRS.fullmatch(self.pcrs):
            raise InputError(f"registers of a TPM are written sha256:0,7, found {self.pcrs[:80]!r}")
        if not re.fullmatch(r"0x[0-9a-fA-F]{8}", self.counter):
            raise InputError(f"the index of a TPM's counter is 0x and eight digits, found {self.counter[:80]!r}")

    def seal(self, key: Secret) -> dict[str, Any]:
        """Seal a key.

        Raises:
            EnvironmentFault: the TPM cannot be used.
        """
        with self._session() as session:
            policy: tuple[str, ...] = ("-a", _OBJECT)
            if self.pcrs is not None:
                session.run("tpm2_createpolicy", "--policy-pcr", "-l", self.pcrs, "-L", "policy")
                policy = ("-a", _OBJECT_BY_POLICY, "-L", "policy")
            session.primary()
            session.run("tpm2_create", "-C", "primary", "-i", "-", "-u", "public", "-r", "private", *policy, given=key)
            session.forget()
            return {
                "format": FORMAT,
                "kind": "tpm",
                "public": session.read("public"),
                "private": session.read("private"),
            }

    def open(self, document: Any, what: str) -> Secret:
        """Open what :meth:`seal` gives.

        Raises:
            InputError: it is anything else.
            IntegrityError: this TPM did not seal it, or its registers are not what they were.
            EnvironmentFault: the TPM cannot be used.
        """
        try:
            if (document["format"], document["kind"]) != (FORMAT, "tpm"):
                raise ValueError
            blobs = {name: base64.b64decode(document[name], validate=True) for name in ("public", "private")}
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise InputError(f"{what} is not one that is sealed by a TPM") from None
        with self._session() as session:
            session.primary()
            for name, blob in blobs.items():
                session.write(name, blob)
            try:
                session.run("tpm2_load", "-C", "primary", "-u", "public", "-r", "private", "-c", "object")
                session.forget()
                authority = () if self.pcrs is None else ("-p", f"pcr:{self.pcrs}")
                key = session.run("tpm2_unseal", "-c", "object", *authority)
                session.forget()
            except EnvironmentFault as error:
                raise IntegrityError(
                    f"{what} is not opened by this TPM: another one has sealed it, or its registers have changed",
                    hint="restore a backup that is opened with a passphrase",
                ) from error
        if len(key) != KEY_BYTES:
            raise InputError(f"{what} does not hold a key")
        return Secret(key)

    def count(self) -> int | None:
        """Give what the counter stands at; None if there is none."""
        with self._session() as session:
            handles = session.run("tpm2_getcap", "handles-nv-index").decode("ascii", "replace").lower()
            if self.counter.lower().removeprefix("0x").lstrip("0") not in handles:
                return None
            found = session.run("tpm2_nvread", "-C", "o", "-s", str(_NUMBER_BYTES), self.counter)
        if len(found) != _NUMBER_BYTES:
            raise EnvironmentFault(f"the index {self.counter} of the TPM is not a counter")
        return int.from_bytes(found, "big")

    def define(self) -> int:
        """Make the counter, and give what it stands at: never less than any counter of this TPM has stood at."""
        with self._session() as session:
            attributes = "nt=counter|ownerread|ownerwrite"
            session.run("tpm2_nvdefine", self.counter, "-C", "o", "-s", str(_NUMBER_BYTES), "-a", attributes)
        return self.increment()

    def increment(self) -> int:
        """Move the counter on by one, and give what it stands at."""
        with self._session() as session:
            session.run("tpm2_nvincrement", "-C", "o", self.counter)
        found = self.count()
        if found is None:
            raise EnvironmentFault(f"the counter {self.counter} of the TPM is gone")
        return found

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        with tempfile.TemporaryDirectory(prefix="bannock-tpm-") as directory:
            yield _Session(Path(directory), self.tcti)


class _Session:
    """Programs that work one after the other, with the files that they leave for each other."""

    def __init__(self, directory: Path, tcti: str) -> None:
        self._directory = directory
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "TPM2TOOLS_TCTI": tcti,
            "TSS2_LOG": "all+NONE",
        }

    def primary(self) -> None:
        """Make the parent of what is sealed; from the TPM's own seed, so it is the same each time."""
        self.run("tpm2_createprimary", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", "primary")
        self.forget()

    def forget(self) -> None:
        """Free the TPM's few places, which nobody else does where the kernel does not manage them."""
        self.run("tpm2_flushcontext", "-t")

    def read(self, name: str) -> str:
        """Give what a program has left, as text."""
        return base64.b64encode((self._directory / name).read_bytes()).decode("ascii")

    def write(self, name: str, blob: bytes) -> None:
        """Leave something for a program."""
        (self._directory / name).write_bytes(blob)

    def run(self, program: str, *arguments: str, given: Secret | None = None) -> bytes:
        """Run a program, and give what it says."""
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
