"""Every key of the session language, made of the parser's model.

What form a value has is what the parser says when it gets something that has none: it is asked.
"""

from __future__ import annotations

import enum
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

from bannock.policy._versions import LATEST, VERSIONS, rank
from bannock.policy._warnings import _GONE, _SINCE
from bannock.policy._wire import SessionWire
from bannock.policy._wire_base import Context, Model
from documentation.markdown import cell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

__all__ = ["session_page"]

_HEAD: Final = f"""\
# Every key of sessions

Made of the parser. Versions of the language: {", ".join(VERSIONS)}. What keys mean, with examples, is in
[the session language](../session-language.md); the keys of `access_policy` are
[there](../session-language.md#access-policy), too.

*A `$$SCONE::NAME$$` stands for a secret where a form says so; all values are text, quoted or not.*

"""
#: Nothing has this form.
_NOTHING: Final = {"?": {"?": "?"}}
#: What is not told by one answer of the parser.
_TOLD: Final = {
    "access_policy": "a mapping of `read`, `update` and `create_sessions`",
    "environment": "a mapping of names to texts",
    "version": "one of the above",
}
_CONTEXT: Final = Context(version=rank(LATEST), name="example")


@dataclass(frozen=True)
class _Place:
    """Where in a document models stand."""

    path: str
    models: tuple[type[Model], ...]


def session_page() -> str:
    """Return the page."""
    return _HEAD + "\n".join(_sections())


def _sections() -> Iterator[str]:
    places, told = [_Place("", (SessionWire,))], set[tuple[type[Model], ...]]()
    while places:
        place = places.pop(0)
        if place.models in told:
            continue
        told.add(place.models)
        below: list[_Place] = []
        for model in place.models:
            yield _heading(place, model)
            yield "| key | form | without it | version |\n|---|---|---|---|"
            types = typing.get_type_hints(model, include_extras=True)
            for name, field in model.model_fields.items():
                key, annotation = field.alias or name, types[name]
                yield _row(place.path, key, field, annotation, model.tag if field.is_required() else "")
                if nested := _models(annotation):
                    below.append(_Place(f"{place.path}.{key}".strip("."), nested))
            yield ""
        places = below + places


def _heading(place: _Place, model: type[Model]) -> str:
    if not place.path:
        return "## The document\n"
    kind = f" ({model.tag})" if len(place.models) > 1 and model.tag else ""
    return f"## {place.path}{kind}\n"


def _row(path: str, key: str, field: FieldInfo, annotation: Any, tag: str) -> str:
    dotted = f"{path}.{key}".strip(".")
    since, gone = _SINCE.get(dotted, ""), _GONE.get(dotted)
    version = f"since {since}" if since else ""
    if gone is not None:
        version = f"until {gone[0]}: {cell(gone[1])}"
    if key == "kind" and tag:
        return f"| `kind` | `{tag}` | **required** | |"
    return f"| `{key}` | {_TOLD.get(key) or _form(annotation)} | {_default(key, field)} | {version} |"


def _default(key: str, field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or value in ([], {}) or isinstance(value, Model):
        return ""
    return _shown(key, value)


def _shown(key: str, value: object) -> str:
    if isinstance(value, enum.Enum):
        return f"`{value.value}`"
    if isinstance(value, list):
        return ", ".join(f"`{each}`" for each in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"`{value:#o}`" if key == "permission" else f"{value} seconds"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _models(annotation: Any) -> tuple[type[Model], ...]:
    """Give the models that may stand at a place."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return (annotation,)
    found: dict[type[Model], None] = {}
    for argument in typing.get_args(annotation):
        found |= dict.fromkeys(_models(argument))
    return tuple(found)


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is list or any(map(_is_list, typing.get_args(annotation)))


def _form(annotation: Any) -> str:
    """Tell which form a value has to have."""
    many = _is_list(annotation)
    if _models(annotation):
        return "a list of mappings, below" if many else "a mapping, below"
    form = _asked(annotation)
    return f"{form}; one or a list" if many and form else form


def _asked(annotation: Any) -> str:
    """Ask the parser what it expects."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    for value in (_NOTHING, [_NOTHING], {"?": _NOTHING}):
        try:
            adapter.validate_python(value, context=_CONTEXT)
        except ValidationError as error:
            for found in error.errors():
                if "what" in found.get("ctx", {}):
                    return _bounded(cell(str(found["ctx"]["what"])), annotation)
    return "anything"


def _bounded(form: str, annotation: Any) -> str:
    low, high = (_bound(annotation, name) for name in ("ge", "le"))
    if high is None:
        return form
    return f"{form}, {low if low is not None else 0} to {high}"


def _bound(annotation: Any, name: str) -> int | None:
    for argument in (*typing.get_args(annotation), *getattr(annotation, "metadata", ())):
        value = getattr(argument, name, None)
        if isinstance(value, int):
            return value
        if (found := _bound(argument, name)) is not None:
            return found
    return None
