"""The session of a protected image on its way to a CAS, which is attested first where it is not known yet."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import cas_of, warn
from bannock.cli.state import state_file
from bannock.errors import BannockError, ConflictError, InputError
from bannock.policy.editing import differences, with_entry
from bannock.policy.parse import parse_session

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from bannock.cli.sconify_options import Request
    from bannock.remote.cas_api import CasApi

__all__ = ["ensure_attested", "upload"]

_PREDECESSOR: Final = frozenset({"predecessor"})


def ensure_attested(parsed: argparse.Namespace) -> str | None:
    """Attest the CAS that options name if it is not known; return the key that it has to have, if that is known.

    Raises:
        BannockError: it is not to be reached, or not trustworthy.
    """
    state = state_file(os.environ)
    if parsed.not_attested:
        return None
    try:
        return state.read().find_cas(parsed.cas).key_hash
    except InputError:
        if parsed.cas is None:
            raise InputError(
                "no CAS is named that the session could go to, and none has been attested before",
                hint="name it with --cas=ADDRESS or in $SCONE_CAS_ADDR, or keep the session in a file with "
                "--disable-session-upload --session=FILE",
            ) from None
    # Slow to import, and rarely needed.
    from bannock.cli import cas_attest  # noqa: PLC0415

    flags = (
        [f"--only_for_testing-{name}" for name in ("debug", "ignore-signer", "trust-any")] if parsed.cas_debug else []
    )
    with contextlib.redirect_stdout(sys.stderr), _own_hints():
        cas_attest.main([parsed.cas, *flags])
    if parsed.cas_debug and not parsed.allow_debug_mode:
        warn(
            "services have to run on hardware all the same: --allow-debug-mode has the session accept simulation, too"
        )
    return state.read().find_cas(parsed.cas).key_hash


@contextlib.contextmanager
def _own_hints() -> Iterator[None]:
    """Name the option of this command where the other one names its own."""
    try:
        yield
    except BannockError as error:
        if error.hint and "--only_for_testing-" in error.hint:
            error.hint = "to accept it for tests: --cas-debug; without attesting it: --disable-attestation"
        raise


def upload(request: Request, text: str) -> None:
    """Create the session, or replace it; its namespace first if that is asked for.

    Raises:
        BannockError: the CAS is not to be reached, not the one expected, or does not take the session.
    """
    with cas_of(request.parsed) as cas:
        if request.namespace is not None:
            _create_namespace(cas, request.namespace)
        session = parse_session(text, variables=None)
        for warning in session.warnings:
            warn(str(warning))
        try:
            cas.post_session(text, digest=session.digest, name=session.name)
        except ConflictError:
            if not request.update:
                raise
            _replace(cas, session.name, text)


def _create_namespace(cas: CasApi, name: str) -> None:
    text = f'name: {name}\nversion: "0.3"\n'
    try:
        cas.post_session(text, digest=parse_session(text, variables=None).digest, name=name)
    except ConflictError:
        warn(f"there is a namespace {name} already")


def _replace(cas: CasApi, name: str, text: str) -> None:
    stored = cas.read_session(name)
    if not differences(text, stored.text, ignored=_PREDECESSOR):
        return
    following = with_entry(text, "predecessor", stored.digest)
    cas.post_session(following, digest=parse_session(following, variables=None).digest, name=name)
