"""What a CAS is measured as: the interpreter that runs it, with this package's code as the runtime.

So whoever has installed the same version on the same system knows, without asking anybody, what to expect of a CAS.
Who has not may trust its signer: the SIGSTRUCT of a CAS is kept beside its code.
"""

from __future__ import annotations

import functools
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError
from bannock.files import read_bounded
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.reader import RootedReader
from bannock.identity.runtime_build import runtime_build
from bannock.identity.signer import SignedIdentity
from bannock.identity.sigstruct import SIGSTRUCT_BYTES, SigStruct

if TYPE_CHECKING:
    from bannock.values import Measurement

__all__ = ["CAS_SIGSTRUCT", "cas_manifest", "cas_measurement", "cas_signature"]

_log = logging.getLogger("bannock.identity")

#: Where the signature of the CAS of this installation is.
CAS_SIGSTRUCT: Final = Path(__file__).parent.parent / "cas.sigstruct"


def cas_manifest(sigstruct: bytes = b"") -> EnclaveManifest:
    """Say what has to be measured of a CAS that runs in this interpreter.

    Args:
        sigstruct: the signature of it, if it has one (:func:`cas_signature`).
    """
    return EnclaveManifest(binary=str(Path(sys.executable).resolve()), settings={}, sigstruct=sigstruct)


def cas_signature(path: Path = CAS_SIGSTRUCT) -> bytes:
    """Return the SIGSTRUCT of a CAS of this installation; nothing where nobody has signed it as it is.

    A signature that was not renewed with the software is told in the log, and is no reason for a CAS to stand still.
    """
    if not path.exists():
        return b""
    try:
        sigstruct = SigStruct.parse(read_bounded(path, SIGSTRUCT_BYTES))
        SignedIdentity.of(cas_manifest(sigstruct.to_bytes()), cas_measurement())
    except BannockError as error:
        _log.warning("%s is not used, so this CAS has no signer: %s", path, error)
        return b""
    return sigstruct.to_bytes()


@functools.cache
def cas_measurement() -> Measurement:
    """Measure a CAS as it would run from this installation; once, because code that is loaded does not change.

    Raises:
        InputError: the interpreter cannot be measured.
    """
    return measure(cas_manifest(), RootedReader(Path("/")), runtime_build()).root
