"""The room of policies: the session language, its secrets, and the decisions that a session makes.

Pure: no I/O, no clock, no randomness but what is passed in. The names of this package load on first use, so that
a runtime which needs :class:`Configuration` alone loads neither pydantic nor PyYAML.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bannock.policy.access import AccessSubject, Operation, decide_access
    from bannock.policy.canonical import canonical_json
    from bannock.policy.claims import Claims
    from bannock.policy.configuration import Configuration, InjectedFile, MainFspf, UpdatePolicy, VolumeMount
    from bannock.policy.decide import decide_enclave
    from bannock.policy.parse import parse_session, session_hash
    from bannock.policy.resolve import service_configuration
    from bannock.policy.secret_values import SecretValues, generate_secrets, public_values
    from bannock.policy.session import Session

__all__ = [
    "AccessSubject",
    "Claims",
    "Configuration",
    "InjectedFile",
    "MainFspf",
    "Operation",
    "SecretValues",
    "Session",
    "UpdatePolicy",
    "VolumeMount",
    "canonical_json",
    "decide_access",
    "decide_enclave",
    "generate_secrets",
    "parse_session",
    "public_values",
    "service_configuration",
    "session_hash",
]

_HOME: Final = {
    "AccessSubject": "access",
    "Claims": "claims",
    "Configuration": "configuration",
    "InjectedFile": "configuration",
    "MainFspf": "configuration",
    "Operation": "access",
    "SecretValues": "secret_values",
    "Session": "session",
    "UpdatePolicy": "configuration",
    "VolumeMount": "configuration",
    "canonical_json": "canonical",
    "decide_access": "access",
    "decide_enclave": "decide",
    "generate_secrets": "secret_values",
    "parse_session": "parse",
    "public_values": "secret_values",
    "service_configuration": "resolve",
    "session_hash": "parse",
}


def __getattr__(name: str) -> Any:
    """Load a name from the module that has it (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
