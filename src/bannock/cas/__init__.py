"""The configuration and attestation service: keeps sessions and their secrets, and gives them to attested enclaves.

The names of this package load on first use, because most programs that import it only start a CAS sometimes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bannock.cas.config import CasConfig, load_config
    from bannock.cas.embedded import EmbeddedCas
    from bannock.cas.service import Cas
    from bannock.cas.serving import serve

__all__ = ["Cas", "CasConfig", "EmbeddedCas", "load_config", "serve"]

_HOME: Final = {
    "Cas": "service",
    "CasConfig": "config",
    "EmbeddedCas": "embedded",
    "load_config": "config",
    "serve": "serving",
}


def __getattr__(name: str) -> Any:
    """Load a name from the module that has it (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
