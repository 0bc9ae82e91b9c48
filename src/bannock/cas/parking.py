"""Values that a session keeps in a key vault (``secret_config``): taken apart, sealed and put there; and back.

The database has what opens each value, and what tells that the vault has another one or none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bannock.cas.requests import VaultRequest
from bannock.errors import BannockError, IntegrityError, NotFoundError
from bannock.policy.certification import CERTIFICATES
from bannock.policy.parked import ParkedValue
from bannock.policy.secret_values import SecretValues
from bannock.policy.template import SecretKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bannock.cas.requests import Remote, Request
    from bannock.policy.secret_values import SecretValue
    from bannock.policy.session import VaultStore
    from bannock.values import Secret

__all__ = ["kept_here", "park", "unpark"]


def park(
    values: SecretValues,
    digest: str,
    store: VaultStore,
    token: Secret,
    *,
    remote: Remote,
    random: Callable[[int], bytes],
) -> SecretValues:
    """Put every value into the vault, and give what is kept here.

    Args:
        values: of a session.
        digest: the hash of the version of the session.
        store: the vault.
        token: that opens it.
        remote: writes there.
        random: for keys.

    Raises:
        BannockError: the vault does not take a value.
    """
    parked: dict[str, ParkedValue] = {}
    for entry, part in _parts(values):
        parked[entry], text = ParkedValue.seal(entry, digest, part.to_json(), random)
        remote.store(store.vault, parked[entry].name, token, text)
    return SecretValues(parked=parked)


def unpark(
    stored: SecretValues, store: VaultStore, token: Secret, answer: Callable[[Request], SecretValue]
) -> SecretValues:
    """Give the values of a session, of what is kept here and what the vault has.

    Args:
        stored: what is kept here.
        store: the vault.
        token: that opens it.
        answer: gives what the vault has, or raises; every value is asked for before the first error is raised.

    Raises:
        IntegrityError: the vault does not have what was put there.
        BannockError: it cannot be asked.
    """
    found = SecretValues(parked=stored.parked)
    errors: list[BannockError] = []
    for parked in stored.parked.values():
        request = VaultRequest(vault=store.vault, secret_name=parked.name, token=token, kind=SecretKind.ASCII)
        try:
            found = _merged(found, SecretValues.from_json(parked.open(answer(request).value.reveal())))
        except BannockError as error:
            errors.append(_missing(parked, store, error) if isinstance(error.__cause__, NotFoundError) else error)
    if errors:
        raise errors[0]
    return _merged(found, stored)


def kept_here(values: SecretValues) -> SecretValues:
    """Give what is kept here after certificates were made anew: they are public, and need no vault."""
    public = {
        name: one
        for name, one in values.secrets.items()
        if one.kind in CERTIFICATES and b"PRIVATE KEY" not in one.value.reveal()
    }
    return SecretValues(secrets=public, parked=values.parked) if values.parked else values


def _missing(parked: ParkedValue, store: VaultStore, cause: BannockError) -> BannockError:
    error = IntegrityError(f"{parked.name} is no longer in key vault {store.vault}, where it was put")
    error.__cause__ = cause
    return error


def _parts(values: SecretValues) -> Iterator[tuple[str, SecretValues]]:
    for name, secret in values.secrets.items():
        yield f"secret {name}", SecretValues(secrets={name: secret})
    for name, key in values.volume_keys.items():
        yield f"volume {name}", SecretValues(volume_keys={name: key})
    if values.authority is not None:
        yield "authority", SecretValues(authority=values.authority)


def _merged(first: SecretValues, second: SecretValues) -> SecretValues:
    return replace(
        first,
        secrets={**first.secrets, **second.secrets},
        volume_keys={**first.volume_keys, **second.volume_keys},
        authority=second.authority or first.authority,
    )
