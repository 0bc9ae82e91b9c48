"""Values of a service that are not in its image: kept in the directory ``target``, for its user alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError
from bannock.files import make_durable_directory, read_bounded, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bannock.mesh.facts import ServiceFacts

__all__ = ["complete", "keep", "place_of"]

_DIRECTORY: Final = "services"
_BYTES_MAX: Final = 4 << 20


def place_of(target: Path, facts: ServiceFacts) -> Path:
    """Return where the values of a service are kept."""
    return target / _DIRECTORY / f"{facts.name}-{facts.mrenclave[:16]}.json"


def keep(target: Path, facts: ServiceFacts, *, variables: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    """Keep values that are withheld.

    Args:
        target: the directory.
        facts: of the service.
        variables: values of variables.
        secrets: values of secrets.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    path = place_of(target, facts)
    if not variables and not secrets:
        path.unlink(missing_ok=True)
        return
    make_durable_directory(path.parent)
    document = {"variables": dict(variables), "secrets": dict(secrets)}
    write_atomically(path, json.dumps(document, indent=2, sort_keys=True).encode(), mode=0o600)


def complete(target: Path, facts: ServiceFacts) -> ServiceFacts:
    """Put back what was withheld from an image, as far as it is known here.

    What is not known stays withheld: None in ``local``, a name in ``withheld``. A mesh may give it, by ``env`` and by
    ``image_secrets``.

    Raises:
        InputError: the file is not readable as what it is.
    """
    path = place_of(target, facts)
    if not path.exists():
        return facts
    try:
        document: Any = json.loads(read_bounded(path, _BYTES_MAX))
        variables, secrets = dict(document["variables"]), dict(document["secrets"])
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{path} is not what sconectl wrote", hint="make the image again") from None
    local = {name: variables.get(name) if value is None else value for name, value in facts.local.items()}
    own = tuple(
        {**secret, "value": secrets[str(secret["name"])]}
        if secret["name"] in facts.withheld and secret["name"] in secrets
        else secret
        for secret in facts.secrets
    )
    withheld = tuple(name for name in facts.withheld if name not in secrets)
    return replace(facts, local=local, secrets=own, withheld=withheld)
