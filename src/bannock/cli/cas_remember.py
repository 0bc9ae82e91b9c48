"""A CAS that was attested becomes one that is known, for several verbs of ``scone cas``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.cli.cas_options import warn
from bannock.cli.state import KnownCas

if TYPE_CHECKING:
    import datetime as dt

    from bannock.cli.state import State, StateFile
    from bannock.evidence.cas_verifier import AttestedCas
    from bannock.net.address import Address

__all__ = ["plain_name", "remember"]


def plain_name(text: str) -> str:
    """Give what a CAS is called that a user names by an address or an URL."""
    return text.removeprefix("https://").rstrip("/")


def remember(state: StateFile, name: str, address: Address, attested: AttestedCas, at: dt.datetime) -> KnownCas:
    """Keep a CAS, and tell what a person should know of it.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    for warning in attested.warnings:
        warn(warning)
    known = KnownCas(
        name=name,
        host=address.host,
        port=address.port,
        key_hash=str(attested.key_hash),
        certificate=attested.statement.certificate,
        software_key_hash=str(attested.statement.software_key_hash),
        software_certificate=attested.statement.software_certificate,
        session_encryption_key=attested.statement.session_encryption_key,
        measurement=str(attested.claims.measurement),
        signer=str(attested.claims.signer),
        attested=at.isoformat(timespec="seconds"),
        platform=attested.claims.platform_name,
    )

    def step(before: State) -> State:
        former = before.cas.get(name)
        if former is not None and former.key_hash != known.key_hash:
            warn(f"the CAS {name} was another one before: its key hash was {former.key_hash}")
        return before.with_cas(known)

    state.change(step)
    return known
