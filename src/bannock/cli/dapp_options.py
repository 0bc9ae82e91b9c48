"""What the commands for dapps have in common."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.cli.execute_options import cas_named
from bannock.cli.state import state_file
from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.execution.services import ExternalCas

__all__ = ["directory_in", "known_cas"]


def directory_in(option: str, path: Path | None, variable: str, environment: Mapping[str, str]) -> Path:
    """Return a directory: the option, or what a variable names.

    Raises:
        InputError: neither says it.
    """
    named = str(path) if path is not None else environment.get(variable, "")
    if not named:
        raise InputError(f"{option} is not given", hint=f"name the directory with {option}, or in ${variable}")
    return Path(named).absolute()


def known_cas(name: str | None, key: str | None, enclave: str | None) -> ExternalCas:
    """Return the CAS that options name, or the one that is used where none is named.

    Raises:
        InputError: there is none.
        BannockError: it cannot be attested.
    """
    wanted = name or os.environ.get("SCONE_CAS_ADDR") or state_file(os.environ).read().find_cas(None).name
    cas = cas_named(wanted, key, enclave, os.environ)
    if cas is None:
        raise InputError("no CAS is named", hint="--secretManagementService ADDRESS")
    return cas
