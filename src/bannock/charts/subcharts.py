"""A chart that a mesh gives for one of its services: part of the mesh's chart. Pure but for reading it.

It keeps its own values. The mesh sets those that it has by the same path: image, session, CAS, and so on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from bannock.errors import InputError
from bannock.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from bannock.charts.parameters import Parameter

__all__ = ["Subchart", "defined_in", "files_of", "read_chart", "values_of"]

_DESCRIPTION: Final = "Chart.yaml"
_VALUES: Final = "values.yaml"
_FILE_BYTES_MAX: Final = 1 << 20
_FILES_MAX: Final = 1000
_DEFINED: Final = re.compile(r"""\{\{-?\s*define\s+"([^"]{1,200})"\s*-?\}\}""")
#: Where the charts that sconify_image makes have what charts of meshes have elsewhere.
_FORMER: Final = {"scone.cas": "cas.address", "scone.casKey": "cas.key", "scone.las": "las.address"}
_OF_SERVICE: Final = ("image", "digest", "configId")
_FORMER_CONFIG: Final = "scone.configId"
_SERVICES: Final = "services"
_UPLOAD: Final = "policies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subchart:
    """A chart that somebody wrote.

    Attributes:
        version: of it.
        files: path in the chart → text.
        values: its own.
    """

    version: str
    files: Mapping[str, str] = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)


def read_chart(directory: Path) -> Subchart:
    """Read a chart.

    Raises:
        InputError: there is none, or one with files that are no text.
    """
    if not (directory / _DESCRIPTION).is_file():
        raise InputError(f"{directory} is no chart: it has no {_DESCRIPTION}")
    files: dict[str, str] = {}
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name = path.relative_to(directory).as_posix()
        if len(files) == _FILES_MAX:
            raise InputError(f"the chart {directory} has more than {_FILES_MAX} files")
        try:
            files[name] = read_bounded(path, _FILE_BYTES_MAX).decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{name} in the chart {directory} is no text") from None
    description, values = (_mapping(files.get(name, ""), directory / name) for name in (_DESCRIPTION, _VALUES))
    return Subchart(version=str(description.get("version", "0.1.0")), files=files, values=values)


def files_of(chart: Subchart, label: str, taken: Iterable[str]) -> dict[str, str]:
    """Return the files of a chart as part of another one: called by a label, with names of templates of its own.

    Args:
        chart: of a service.
        label: of the service.
        taken: names of templates that others have; all charts of a release share them.
    """
    description = _mapping(chart.files[_DESCRIPTION], _DESCRIPTION)
    description["name"] = label
    files = {**chart.files, _DESCRIPTION: yaml.safe_dump(description, sort_keys=False)}
    for name in defined_in(chart.files.values()) & set(taken):
        files = {path: text.replace(f'"{name}"', f'"{label}.{name}"') for path, text in files.items()}
    return {f"charts/{label}/{path}": text for path, text in files.items()}


def defined_in(texts: Iterable[str]) -> set[str]:
    """Return the names of templates that texts define."""
    return {name for text in texts for name in _DEFINED.findall(text)}


def values_of(chart: Subchart, label: str, parameters: Iterable[Parameter]) -> dict[str, Any]:
    """Return what a mesh sets of the values of a chart: those that the chart has.

    Args:
        chart: of a service.
        label: of the service.
        parameters: of the mesh's chart, for all and for that service.
    """
    known = {parameter.path: parameter.default for parameter in parameters}
    above = f"{_SERVICES}.{label}."
    for former, path in _FORMER.items():
        known[former] = known[path]
    known[_FORMER_CONFIG] = known[f"{above}configId"]
    known |= {path: known[f"{above}{path}"] for path in _OF_SERVICE}
    found: dict[str, Any] = {}
    for path, value in known.items():
        # A mesh uploads its policies itself.
        chosen = False if path == f"{_UPLOAD}.upload" else value
        if path.startswith(above) and path.removeprefix(above) not in _OF_SERVICE:
            continue
        if (not path.startswith(f"{_UPLOAD}.") or path == f"{_UPLOAD}.upload") and _has(chart.values, path):
            _put(found, path, chosen)
    services = chart.values.get(_SERVICES)
    for other in services if isinstance(services, dict) and label in services else ():
        if other != label:
            # Helm takes away what is nothing: the chart was made of a mesh with more services.
            found.setdefault(_SERVICES, {})[other] = None
    return found


def _has(values: Mapping[str, Any], path: str) -> bool:
    place: Any = values
    for step in path.split("."):
        if not isinstance(place, dict) or step not in place:
            return False
        place = place[step]
    return True


def _put(values: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    for step in above:
        values = values.setdefault(step, {})
    values[last] = value


def _mapping(text: str, path: object) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        raise InputError(f"{path} is not YAML") from None
    if not isinstance(found, dict | None):
        raise InputError(f"{path} is no mapping")
    return {str(key): value for key, value in (found or {}).items()}
