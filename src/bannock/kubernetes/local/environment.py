"""The environment of a container, and what its command line takes from there. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError, NotFoundError
from bannock.kubernetes.local.model import EnvironmentOf, FieldOf, KeyOf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bannock.kubernetes.local.model import ContainerTemplate
    from bannock.kubernetes.local.pod import Pod

__all__ = ["environment_of", "expanded"]

#: A variable in a text; a doubled $ stands for one.
_REFERENCE: Final = re.compile(r"\$(?:\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")
_KEYED: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def environment_of(pod: Pod, container: ContainerTemplate) -> dict[str, str]:
    """Return the variables of a container.

    Raises:
        NotFoundError: one is of an object that is not there.
        InputError: one is no text.
    """
    found: dict[str, str] = {}
    for variable in container.variables:
        if isinstance(variable, EnvironmentOf):
            found.update(_all_of(pod, variable))
            continue
        match variable.source:
            case None:
                found[variable.name] = expanded(variable.value, found)
            case FieldOf(path=path):
                found[variable.name] = _field(pod, path)
            case KeyOf() as key:
                value = _key(pod, key)
                if value is not None:
                    found[variable.name] = value
    return found


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Put variables in the place of ``$(NAME)``; one that is not there stays as it is."""
    return _REFERENCE.sub(lambda found: variables.get(found[1], found[0]) if found[1] else "$", text)


def _all_of(pod: Pod, source: EnvironmentOf) -> Iterator[tuple[str, str]]:
    for key, value in pod.surroundings.rendered.object(source.kind, source.name, optional=source.optional).items():
        yield f"{source.prefix}{key}", _text(value, f"{source.kind} {source.name}: {key}")


def _key(pod: Pod, source: KeyOf) -> str | None:
    content = pod.surroundings.rendered.object(source.kind, source.name, optional=source.optional)
    if source.key in content:
        return _text(content[source.key], f"{source.kind} {source.name}: {source.key}")
    if source.optional:
        return None
    raise NotFoundError(f"there is no key {source.key[:80]} in the {source.kind} {source.name}")


def _text(value: bytes, what: str) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(f"{what} is no text, and cannot be a variable")
    return text


def _field(pod: Pod, path: str) -> str:
    here, template = pod.surroundings, pod.workload.template
    if keyed := _KEYED.fullmatch(path):
        return (pod.labels if keyed[1] == "labels" else template.annotations).get(keyed[2], "")
    known = {
        "metadata.name": pod.name,
        "metadata.namespace": here.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": here.node,
        "spec.serviceAccountName": template.account,
        "status.hostIP": "127.0.0.1" if template.host_network else here.host,
    }
    return known[path]
