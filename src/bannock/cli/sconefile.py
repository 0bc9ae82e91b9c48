"""The options of ``sconify_image`` as a file, to keep with the sources of an image: YAML, a key an option.

``from``, ``to`` and ``policy.namespace.name`` stand where the original's ``Sconefile`` has them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from bannock.errors import InputError
from bannock.files import read_bounded

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["OPTION", "sconefile_text", "with_sconefiles"]

OPTION: Final = "--sconefile"
_BYTES_MAX: Final = 1 << 20
#: Key of the file → option, where the two have different names.
_PLACES: Final = {
    ("policy", "name"): "name",
    ("policy", "namespace", "name"): "namespace",
    ("policy", "namespace", "create"): "create-namespace",
}
_NOT_KEPT: Final = frozenset({"generate-sconefile", "sconefile", "dry-run", "help"})


def sconefile_text(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> str:
    """Write the options that a command line has."""
    places = {option: path for path, option in _PLACES.items()}
    document: dict[str, Any] = {}
    for action in parser._actions:  # noqa: SLF001 # the library has no other way to list them
        name = max(action.option_strings, key=len, default="").removeprefix("--")
        value = getattr(parsed, action.dest, None)
        if not name or name in _NOT_KEPT or value == action.default:
            continue
        *above, last = places.get(name, (name,))
        place = document
        for step in above:
            place = place.setdefault(step, {})
        place[last] = value if isinstance(value, bool | list) else str(value)
    return "".join(f"{line}\n" for line in _lines(document, ""))


def with_sconefiles(arguments: Sequence[str]) -> list[str]:
    """Put the options of files in front of those of a command line, which count more.

    Raises:
        InputError: a file cannot be read, or is none of options.
    """
    words: list[str] = []
    rest = list(arguments)
    kept: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == OPTION and rest:
            words += _read(Path(rest.pop(0)))
        elif word.startswith(f"{OPTION}="):
            words += _read(Path(word.partition("=")[2]))
        else:
            kept.append(word)
    return [*words, *kept]


def _read(path: Path) -> Iterator[str]:
    try:
        document = yaml.safe_load(read_bounded(path, _BYTES_MAX))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(document, dict):
        raise InputError(f"{path} has no options: expected a mapping with from, to, binary and others")
    yield from _words(document, (), path)


def _words(values: Mapping[Any, Any], above: tuple[str, ...], path: Path) -> Iterator[str]:
    for key, value in values.items():
        place = (*above, str(key))
        match value:
            case dict():
                yield from _words(value, place, path)
                continue
            case None | False:
                continue
        option = _PLACES.get(place, place[0] if len(place) == 1 else None)
        if option is None:
            raise InputError(f"{path} has {'.'.join(place)[:200]}, which is no option")
        match value:
            case True:
                yield f"--{option}"
            case list():
                yield from (f"--{option}={each}" for each in value)
            case _:
                yield f"--{option}={value}"


def _lines(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:"
            yield from _lines(value, f"{indent}  ")
        elif isinstance(value, list):
            yield f"{indent}{key}:"
            yield from (f"{indent}  - {json.dumps(str(each), ensure_ascii=False)}" for each in value)
        else:
            yield f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}"
