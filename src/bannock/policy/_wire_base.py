"""What all mappings of the session language have in common, and the types of their values.

Pure. :mod:`bannock.policy._fields` has the parsers; here they become types that pydantic takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WrapValidator

from bannock.errors import InputError
from bannock.policy import _fields as fields
from bannock.policy.template import Placeholder, Template, is_placeholder
from bannock.values import FspfKey, FspfTag, Measurement

if TYPE_CHECKING:
    from pydantic import ValidatorFunctionWrapHandler
    from pydantic.fields import FieldInfo

__all__ = [
    "AnyName",
    "Bindable",
    "Context",
    "Digest",
    "FspfKeyField",
    "FspfTagField",
    "Measurements",
    "Model",
    "Name",
    "Number16",
    "OneMeasurement",
    "PathBelowRoot",
    "PathField",
    "Tags",
    "TextList",
    "Truth",
    "sole_placeholder",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What parsers of fields know of the document: the rank of its version, and its own name if that is one."""

    version: tuple[int, int]
    name: str | None


class Model(BaseModel):
    """A mapping of the language: unknown keys are errors.

    Attributes:
        slips: what users write for a key of this mapping.
        foreign: keys that cannot be here, and why.
        tag: the name of the model among others that may be at its place.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)

    slips: ClassVar[Mapping[str, str]] = {}
    foreign: ClassVar[Mapping[str, str]] = {}
    tag: ClassVar[str] = ""

    @classmethod
    def wire_keys(cls) -> dict[str, FieldInfo]:
        """Give every key as documents have it."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}


def sole_placeholder(value: object) -> Placeholder | None:
    """Give the placeholder that a text consists of."""
    if not isinstance(value, str) or not is_placeholder(value):
        return None
    try:
        parts = Template.parse(value).parts
    except InputError:
        return None
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Placeholder) else None


def _bound_later(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    placeholder = sole_placeholder(value)
    return handler(value) if placeholder is None else placeholder


if TYPE_CHECKING:
    _T = TypeVar("_T")
    #: A value that a secret may stand for until it is bound.
    Bindable: TypeAlias = Annotated[_T | Placeholder, None]
else:

    class Bindable:
        """As above; a union would have pydantic report what both of its sides do not like."""

        def __class_getitem__(cls, item: Any) -> Any:
            return Annotated[item, WrapValidator(_bound_later)]


Name: TypeAlias = Annotated[str, BeforeValidator(fields.name)]
AnyName: TypeAlias = Annotated[str, BeforeValidator(fields.any_name)]
PathField: TypeAlias = Annotated[str, BeforeValidator(fields.path)]
PathBelowRoot: TypeAlias = Annotated[str, BeforeValidator(fields.path_below_root)]
Number16: TypeAlias = Annotated[int, BeforeValidator(fields.number), Field(le=0xFFFF)]
Truth: TypeAlias = Annotated[bool, BeforeValidator(fields.boolean)]
OneMeasurement: TypeAlias = Annotated[Measurement, BeforeValidator(fields.measurement)]
Measurements: TypeAlias = Annotated[
    list[Bindable[OneMeasurement]], BeforeValidator(fields.as_list), Field(min_length=1)
]
FspfKeyField: TypeAlias = Annotated[FspfKey | Template, BeforeValidator(fields.fspf_key)]
FspfTagField: TypeAlias = Annotated[FspfTag, BeforeValidator(fields.tag)]
Digest: TypeAlias = Annotated[str, BeforeValidator(fields.session_hash)]
TextList: TypeAlias = Annotated[list[Annotated[str, BeforeValidator(fields.text)]], BeforeValidator(fields.items)]
Tags: TypeAlias = TextList
