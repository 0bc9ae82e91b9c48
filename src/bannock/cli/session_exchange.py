"""Sessions on their way to a CAS and back, for several verbs of ``scone session``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.cli.cas_options import cas_of

if TYPE_CHECKING:
    import argparse

    from bannock.cli.session_options import Prepared

__all__ = ["upload"]


def upload(parsed: argparse.Namespace, what: Prepared) -> str:
    """Create or update a session at the CAS that the options name, and give its hash.

    Raises:
        BannockError: the CAS is not to be reached, not the one expected, or does not take the session.
    """
    name = None if what.session is None else what.session.name
    with cas_of(parsed, sealed=what.session is None) as cas:
        return cas.post_session(what.upload, digest=what.digest, name=name)
