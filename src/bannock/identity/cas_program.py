"""What a CAS is measured as: the interpreter that runs it, with this package's code as the runtime.

So whoever has installed the same version on the same system knows, without asking anybody, what to expect of a CAS.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.reader import RootedReader
from bannock.identity.runtime_build import runtime_build

if TYPE_CHECKING:
    from bannock.values import Measurement

__all__ = ["cas_manifest", "cas_measurement"]


def cas_manifest() -> EnclaveManifest:
    """Say what has to be measured of a CAS that runs in this interpreter."""
    return EnclaveManifest(binary=str(Path(sys.executable).resolve()), settings={})


@functools.cache
def cas_measurement() -> Measurement:
    """Measure a CAS as it would run from this installation; once, because code that is loaded does not change.

    Raises:
        InputError: the interpreter cannot be measured.
    """
    return measure(cas_manifest(), RootedReader(Path("/")), runtime_build()).root
