"""From pydantic's errors to issues that a person can act on: place, what was found, what is allowed, what was meant.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from bannock.policy import _fields as fields
from bannock.policy._document import Mapping, Scalar, Sequence
from bannock.policy._places import ISSUES_MAX, clip, form_of, found, issue_at, nearest
from bannock.policy._wire import SessionWire
from bannock.policy._wire_base import Model
from bannock.policy.template import SecretKind, is_placeholder

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from bannock.errors import Issue
    from bannock.policy._document import Node

__all__ = ["ISSUES_MAX", "found", "issue_at", "issues_of", "nearest"]

#: What pydantic's own error types ask for.
_FORMS: Final = {
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def issues_of(error: ValidationError, root: Node) -> list[Issue]:
    """Translate every error, up to :data:`ISSUES_MAX`, at its place in the document."""
    details = error.errors(include_url=False, include_input=False)
    return [_issue(detail, root) for detail in details[:ISSUES_MAX]]


def _issue(detail: ErrorDetails, root: Node) -> Issue:
    location, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    match kind:
        case "missing":
            node, path = _locate(root, location[:-1])
            return issue_at(node, path, f"{location[-1]} is missing")
        case "extra_forbidden":
            node, path = _locate(root, location[:-1])
            return _unknown_key(node, path, str(location[-1]), _models_at(location[:-1]))
        case "union_tag_not_found" | "union_tag_invalid":
            node, path = _locate(root, location)
            return _secret_kind(node, path)
    if location[-1:] == ("[key]",):
        parent, path = _locate(root, location[:-2])
        key = parent.key(str(location[-2])) if isinstance(parent, Mapping) else None
        return issue_at(key or parent, path, _message(kind, context, detail["msg"], key or parent))
    node, path = _locate(root, location)
    hint = None
    if isinstance(node, Scalar) and "allowed" in context:
        hint = nearest(node.text, context["allowed"], context["slips"])
    return issue_at(node, path, _message(kind, context, detail["msg"], node), hint)


def _message(kind: str, context: dict[str, Any], message: str, node: Node) -> str:
    wanted = _FORMS.get(kind)
    if (wanted or kind == fields.EXPECTED) and isinstance(node, Scalar) and is_placeholder(node.text):
        return "a secret cannot stand here"
    match kind:
        case fields.EXPECTED:
            text = f"expected {context['what']}, found {found(node)}"
        case "too_short":
            text = "expected at least one entry, found none"
        case "less_than_equal":
            text = f"expected at most {context['le']}, found {found(node)}"
        case "greater_than_equal":
            text = f"expected at least {context['ge']}, found {found(node)}"
        case _ if wanted:
            text = f"expected {wanted}, found {form_of(node)}"
        case _:
            text = message
    return text


def _unknown_key(node: Node, path: str, key: str, models: list[type[Model]]) -> Issue:
    place = node.key(key) if isinstance(node, Mapping) else None
    below = f"{path}.{key}" if path else key
    foreign = next((model.foreign[key] for model in models if key in model.foreign), None)
    if foreign is not None:
        return issue_at(place or node, below, foreign)
    known = sorted({name for model in models for name in model.wire_keys()})
    slips = {slip: meant for model in models for slip, meant in model.slips.items()}
    message = f"unknown key {clip(place.source if place else key)!r}, allowed: {', '.join(known)}"
    return issue_at(place or node, below, message, nearest(key, known, slips))


def _secret_kind(node: Node, path: str) -> Issue:
    """Tell what is wrong with the ``kind`` of a secret."""
    allowed = ", ".join(SecretKind)
    kind = node.get("kind") if isinstance(node, Mapping) else None
    if kind is None:
        return issue_at(node, path, f"kind is missing, allowed: {allowed}")
    hint = nearest(kind.text, list(SecretKind)) if isinstance(kind, Scalar) else None
    return issue_at(kind, f"{path}.kind", f"expected one of {allowed}, found {found(kind)}", hint)


def _locate(root: Node, location: tuple[int | str, ...]) -> tuple[Node, str]:
    """Follow a location as far as the document has it.

    Parts that are not in the document are passed over: the name of a union's branch, and the index of an item that the
    document gives without a list.
    """
    node, path = root, ""
    for part in location:
        below: Node | None = None
        if isinstance(node, Mapping) and isinstance(part, str):
            below = node.get(part)
            step = f".{part}" if path else part
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            below = node.items[part]
            step = f"[{part}]"
        if below is not None:
            node, path = below, path + step
    return node, path


def _models_at(location: tuple[int | str, ...]) -> list[type[Model]]:
    """Find the models that a mapping at a location may be of."""
    current: list[type[Model]] = [SessionWire]
    for part in location:
        if isinstance(part, int):
            continue
        below = [field.annotation for model in current if (field := model.wire_keys().get(part)) is not None]
        if below:
            current = [model for annotation in below for model in _models_in(annotation)]
        else:
            current = [model for model in current if part == model.tag]
    return current


def _models_in(annotation: Any) -> list[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
