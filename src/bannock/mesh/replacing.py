"""A policy that a mesh gives for a service (``image_policy``): what it says takes the place of what was made. Pure.

It is a session, or parts of one. Services, images, secrets and volumes are told apart by their names, and variables by
theirs; everything else is taken as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["replaced"]

_NAMED: Final = ("services", "images", "secrets", "volumes")
#: In these, one without a name is the one that there is.
_SINGLE: Final = frozenset({"services", "images"})
_VARIABLES: Final = "environment"


def replaced(made: Mapping[str, Any], given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Return a policy with what a mesh gives in its place.

    Args:
        made: of the image.
        given: of the mesh, with its values put in.
        where: what to call it in an error.

    Raises:
        InputError: it is the policy of another session, or has no form of one.
    """
    if given.get("name", made["name"]) != made["name"]:
        raise InputError(
            f"{where} is called {given['name']!r}, expected {made['name']}",
            hint="leave its name out, or write {{session}}",
        )
    document = {**made, **{key: value for key, value in given.items() if key not in _NAMED}}
    for key in _NAMED:
        if key in given:
            document[key] = _merged(made.get(key, ()), _entries(given[key], key, where), key)
    return document


def _entries(value: Any, key: str, where: str) -> list[dict[str, Any]]:
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return value
    raise InputError(f"{where}: {key} is a list of mappings")


def _merged(made: Sequence[Mapping[str, Any]], given: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    found = {each["name"]: dict(each) for each in made}
    for entry in given:
        name = entry.get("name")
        if name is None and key in _SINGLE and len(made) == 1:
            name = made[0]["name"]
        before = found.get(name) if key in _SINGLE else None
        if before is None:
            found[name] = entry
            continue
        variables = before.get(_VARIABLES)
        found[name] = {**before, **entry}
        if variables and isinstance(entry.get(_VARIABLES), dict):
            found[name][_VARIABLES] = {**variables, **entry[_VARIABLES]}
    return list(found.values())
