"""Changes of objects that make pods, as kubectl makes them: variables, images, numbers, a new start. Pure."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["restarted", "scaled", "with_images", "with_variables"]

_RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"


def with_variables(document: Mapping[str, Any], changes: Sequence[str], container: str | None) -> dict[str, Any]:
    """Return an object whose containers have other variables.

    Args:
        document: the object.
        changes: ``NAME=VALUE``, or ``NAME-`` for one that goes.
        container: the only one that is meant; None: all.

    Raises:
        InputError: a change is none.
        NotFoundError: there is no such container.
    """
    made: dict[str, Any] = copy.deepcopy(dict(document))
    for each in _containers(made, container):
        for change in changes:
            name, equals, value = change.partition("=")
            gone = not equals and name.endswith("-")
            if not name or not (equals or gone):
                raise InputError(f"a variable is set by NAME=VALUE and taken away by NAME-, found {change[:80]!r}")
            name = name.removesuffix("-") if gone else name
            kept = [one for one in each.get("env") or [] if one.get("name") != name]
            each["env"] = kept if gone else [*kept, {"name": name, "value": value}]
    return made


def with_images(document: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Return an object whose containers have other images: ``CONTAINER=IMAGE``, ``*`` for all of them.

    Raises:
        InputError: a change is none.
        NotFoundError: there is no such container.
    """
    made: dict[str, Any] = copy.deepcopy(dict(document))
    for change in changes:
        name, equals, image = change.partition("=")
        if not name or not equals or not image:
            raise InputError(f"an image is set by CONTAINER=IMAGE, found {change[:80]!r}")
        for each in _containers(made, None if name == "*" else name):
            each["image"] = image
    return made


def scaled(document: Mapping[str, Any], replicas: int) -> dict[str, Any]:
    """Return an object that makes another number of pods."""
    made: dict[str, Any] = copy.deepcopy(dict(document))
    made.setdefault("spec", {})["replicas"] = replicas
    return made


def restarted(document: Mapping[str, Any], moment: str) -> dict[str, Any]:
    """Return an object whose pods are made anew."""
    made: dict[str, Any] = copy.deepcopy(dict(document))
    about = made["spec"]["template"].setdefault("metadata", {})
    about["annotations"] = {**(about.get("annotations") or {}), _RESTARTED: moment}
    return made


def _containers(document: dict[str, Any], name: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["spec"]["template"]["spec"]["containers"]
    wanted = [each for each in found if name in (None, each.get("name"))]
    if not wanted:
        raise NotFoundError(
            f"there is no container {str(name)[:80]!r}", hint=f"there are: {', '.join(each['name'] for each in found)}"
        )
    return wanted
