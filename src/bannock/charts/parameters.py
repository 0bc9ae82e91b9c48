"""The parameters of a chart, described once: its ``values.yaml``, its schema and its documentation follow. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Parameter", "schema_text", "table", "values_text", "with_defaults"]

#: A step of a path: a name, and numbers of elements behind it.
_STEP: Final = re.compile(r"([A-Za-z0-9_-]+)((?:\[[0-9]{1,3}\])*)")
_NUMBER: Final = re.compile(r"\[([0-9]+)\]")
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}
_PLAIN_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
#: What YAML 1.1 takes for something else than a text.
_YAML_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_INDENT: Final = "  "
#: A list that a user fills has no more elements than this by far.
_ELEMENTS_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter.

    Attributes:
        path: its name, with dots between the names of mappings.
        default: of the types that JSON has.
        about: what it is, in one line.
        choices: the values that it can have; none: any of the default's type.
        open: whether a mapping takes keys that it does not have by default.
    """

    path: str
    default: Any
    about: str
    choices: tuple[str, ...] = ()
    open: bool = True


def with_defaults(parameters: Sequence[Parameter], settings: Iterable[str]) -> list[Parameter]:
    """Give parameters other defaults.

    Args:
        parameters: of a chart.
        settings: ``PATH=VALUE``; a path may lead into a parameter, also by numbers of elements (``list[0].name``).

    Raises:
        InputError: there is no such parameter, or the value is of another kind.
    """
    changed = {parameter.path: parameter for parameter in parameters}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise InputError(f"--k8s-helm-set is PARAMETER=VALUE, found {setting[:200]!r}")
        name = next((each for each in changed if path == each or path.startswith((f"{each}.", f"{each}["))), None)
        if name is None:
            raise InputError(f"the chart has no parameter {path[:200]}", hint=f"it has: {', '.join(sorted(changed))}")
        parameter = changed[name]
        value = _placed(parameter.default, _steps(path.removeprefix(name).lstrip("."), setting), text, setting)
        if type(value) is not type(parameter.default) or (parameter.choices and value not in parameter.choices):
            wanted = " or ".join(parameter.choices) or type(parameter.default).__name__
            raise InputError(f"--k8s-helm-set {setting[:200]}: expected {wanted}")
        changed[name] = replace(parameter, default=value)
    return list(changed.values())


def values_text(parameters: Sequence[Parameter]) -> str:
    """Write ``values.yaml``: what stands in one mapping together, each with what it is."""
    return "".join(f"{line}\n" for line in _lines(parameters, (), ""))


def schema_text(parameters: Sequence[Parameter]) -> str:
    """Write ``values.schema.json`` (JSON Schema, draft 7), by which helm refuses names and types that are wrong."""
    # Charts that depend on this one hand such a mapping down, and helm adds it.
    properties: dict[str, Any] = {"global": {"type": "object"}}
    for parameter in parameters:
        *above, last = parameter.path.split(".")
        place = properties
        for step in above:
            inner = place.setdefault(step, {"type": "object", "additionalProperties": False, "properties": {}})
            place = inner["properties"]
        place[last] = _schema(parameter)
    document = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }
    return json.dumps(document, indent=2) + "\n"


def table(parameters: Iterable[Parameter]) -> str:
    """Write the parameters as a table of Markdown."""
    rows = [
        f"| `{parameter.path}` | {parameter.about} | `{json.dumps(parameter.default)}` |\n".replace("\\|", "|")
        for parameter in parameters
    ]
    return "".join(["| parameter | what it is | default |\n", "|---|---|---|\n", *rows])


def _lines(parameters: Sequence[Parameter], above: tuple[str, ...], indent: str) -> Iterator[str]:
    done: set[str] = set()
    for parameter in parameters:
        steps = tuple(parameter.path.split("."))
        if steps[: len(above)] != above or (step := steps[len(above)]) in done:
            continue
        done.add(step)
        if len(steps) > len(above) + 1:
            yield f"{indent}{_key(step)}:"
            yield from _lines(parameters, (*above, step), indent + _INDENT)
        else:
            choices = f": {', '.join(parameter.choices)}" if parameter.choices else ""
            yield f"{indent}# {parameter.about}{choices}"
            yield f"{indent}{_key(step)}: {json.dumps(parameter.default, ensure_ascii=False)}"


def _key(name: str) -> str:
    """Return a key that YAML takes for a text, whatever it is."""
    return name if _PLAIN_KEY.fullmatch(name) and name.lower() not in _YAML_WORDS else json.dumps(name)


def _schema(parameter: Parameter) -> dict[str, Any]:
    default = parameter.default
    described: dict[str, Any] = {"description": parameter.about}
    if parameter.choices:
        return {**described, "type": "string", "enum": list(parameter.choices)}
    if isinstance(default, dict) and not parameter.open:
        names = {name: _schema(Parameter(path=name, default=value, about="")) for name, value in default.items()}
        return {**described, "type": "object", "additionalProperties": False, "properties": names}
    return {**described, "type": _kind(default)}


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _steps(path: str, setting: str) -> list[str | int]:
    steps: list[str | int] = []
    if path.startswith("["):
        first, _, path = path.partition(".")
        if _NUMBER.sub("", first):
            raise InputError(f"--k8s-helm-set {setting[:200]}: the path cannot be read at {first[:80]!r}")
        steps += map(int, _NUMBER.findall(first))
        if not path:
            return steps
    for part in path.split(".") if path else ():
        match = _STEP.fullmatch(part)
        if match is None:
            raise InputError(f"--k8s-helm-set {setting[:200]}: the path cannot be read at {part[:80]!r}")
        steps += [match[1], *map(int, _NUMBER.findall(match[2]))]
    return steps


def _placed(value: Any, steps: Sequence[str | int], text: str, setting: str) -> Any:
    """Return a value with another one in a place of it."""
    if not steps:
        return _value(text, value)
    step, *rest = steps
    if isinstance(step, int):
        if not isinstance(value, list | None) or step > len(value or ()) or step >= _ELEMENTS_MAX:
            raise InputError(f"--k8s-helm-set {setting[:200]}: there is no element {step}")
        elements = [*(value or ()), *([None] if step == len(value or ()) else ())]
        elements[step] = _placed(elements[step], rest, text, setting)
        return elements
    if not isinstance(value, dict | None):
        raise InputError(f"--k8s-helm-set {setting[:200]}: {step} is in no mapping")
    return {**(value or {}), step: _placed((value or {}).get(step), rest, text, setting)}


def _value(text: str, before: Any) -> Any:
    """Read a value as helm's own ``--set`` does: words and numbers are such, but where a text was before."""
    if isinstance(before, str):
        return text
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _INTEGER.fullmatch(text) else text
