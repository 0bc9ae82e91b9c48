"""A TPM 2.0, by the programs of tpm2-tools: it seals the master key, and has a counter that nobody can turn back.

What it has sealed only it opens: a disk that is taken out, or a backup of it, is of no use without the machine.
Nothing secret is in an argument or a file; what lies in temporary files is of the TPM itself, and sealed by it.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bannock.cas.sealing import KEY_BYTES
from bannock.errors import EnvironmentFault, InputError, IntegrityError
from bannock.evidence.tpm.tools import DEVICE, tpm_session
from bannock.values import Secret

if TYPE_CHECKING:
    from bannock.evidence.tpm.tools import TpmSession

__all__ = ["FORMAT", "Tpm"]

FORMAT: Final = "bannock-master-key-1"
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
        with tpm_session(self.tcti) as session:
            policy: tuple[str, ...] = ("-a", _OBJECT)
            if self.pcrs is not None:
                session.run("tpm2_createpolicy", "--policy-pcr", "-l", self.pcrs, "-L", "policy")
                policy = ("-a", _OBJECT_BY_POLICY, "-L", "policy")
            _primary(session)
            session.run("tpm2_create", "-C", "primary", "-i", "-", "-u", "public", "-r", "private", *policy, given=key)
            session.forget()
            return {
                "format": FORMAT,
                "kind": "tpm",
                "public": _text(session.read("public")),
                "private": _text(session.read("private")),
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
        with tpm_session(self.tcti) as session:
            _primary(session)
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
        with tpm_session(self.tcti) as session:
            handles = session.run("tpm2_getcap", "handles-nv-index").decode("ascii", "replace").lower()
            if self.counter.lower().removeprefix("0x").lstrip("0") not in handles:
                return None
            found = session.run("tpm2_nvread", "-C", "o", "-s", str(_NUMBER_BYTES), self.counter)
        if len(found) != _NUMBER_BYTES:
            raise EnvironmentFault(f"the index {self.counter} of the TPM is not a counter")
        return int.from_bytes(found, "big")

    def define(self) -> int:
        """Make the counter, and give what it stands at: never less than any counter of this TPM has stood at."""
        with tpm_session(self.tcti) as session:
            attributes = "nt=counter|ownerread|ownerwrite"
            session.run("tpm2_nvdefine", self.counter, "-C", "o", "-s", str(_NUMBER_BYTES), "-a", attributes)
        return self.increment()

    def increment(self) -> int:
        """Move the counter on by one, and give what it stands at."""
        with tpm_session(self.tcti) as session:
            session.run("tpm2_nvincrement", "-C", "o", self.counter)
        found = self.count()
        if found is None:
            raise EnvironmentFault(f"the counter {self.counter} of the TPM is gone")
        return found


def _primary(session: TpmSession) -> None:
    """Make the parent of what is sealed; from the TPM's own seed, so it is the same each time."""
    session.run("tpm2_createprimary", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", "primary")
    session.forget()


def _text(blob: bytes) -> str:
    return base64.b64encode(blob).decode("ascii")
