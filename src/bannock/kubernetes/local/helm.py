"""Charts, rendered by the user's own helm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from bannock.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MARK", "ChartRequest", "find_program", "objects_in", "render"]

#: In a directory of stand-ins for programs; the programs themselves are looked for elsewhere.
MARK: Final = ".bannock-stand-ins"
_SECONDS: Final = 120
_BYTES_MAX: Final = 64 << 20
_KIND: Final = "BannockValues"
_VALUES: Final = f"""\
apiVersion: bannock.dev/v1
kind: {_KIND}
metadata:
  name: values
values: {{{{ .Values | toJson }}}}
"""
_PAGES: Final = {
    "helm": "install helm (https://helm.sh/docs/intro/install/), version 3 or 4",
    "docker": "install Docker's client (https://docs.docker.com/engine/install/)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartRequest:
    """A chart, and how it is to be rendered.

    Attributes:
        chart: a directory, an archive, or what else helm takes.
        release: name of the release.
        namespace: of it.
        options: of helm: ``--set``, ``--values`` and so on, as they came.
        upgrade: whether there is such a release already.
    """

    chart: str
    release: str
    namespace: str
    options: Sequence[str] = ()
    upgrade: bool = False


def find_program(name: str, environment: Mapping[str, str]) -> str:
    """Return the path of a program, and not of its stand-in.

    Raises:
        EnvironmentFault: it is not in the path.
    """
    path = environment.get("PATH", os.defpath).split(os.pathsep)
    places = [place for place in path if not Path(place, MARK).exists()]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        # Who starts us by our path may have it beside us and not in the path.
        found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise EnvironmentFault(f"there is no program {name} in the path", hint=_PAGES.get(name))
    return found


def render(request: ChartRequest, environment: Mapping[str, str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Have helm render a chart.

    Returns:
        its objects, and all its values; none of a chart that is not a directory.

    Raises:
        InputError: helm refuses the chart or the values, or does not make objects.
        EnvironmentFault: there is no helm, or it does not end.
    """
    helm = find_program("helm", environment)
    with tempfile.TemporaryDirectory(prefix="bannock-chart-") as directory:
        chart = _with_values(request.chart, Path(directory))
        command = [helm, "template", request.release, chart, "--namespace", request.namespace, *request.options]
        if request.upgrade:
            command.append("--is-upgrade")
        try:
            done = subprocess.run(
                command, env=dict(environment), capture_output=True, check=False, timeout=_SECONDS,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise EnvironmentFault(f"helm does not render {request.chart} within {_SECONDS} seconds") from None
        except OSError as error:
            raise EnvironmentFault(f"cannot run {helm}: {error.strerror}") from error
    if done.returncode:
        told = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        raise InputError(
            f"helm does not render {request.chart}",
            reasons=[line[:400] for line in told[:10]],
            hint=None if Path(request.chart).exists() else "a chart is a directory with Chart.yaml, or its archive",
        )
    found = objects_in(done.stdout, f"what helm makes of {request.chart}")
    values = [each for each in found if each.get("kind") == _KIND]
    return [each for each in found if each.get("kind") != _KIND], values[0]["values"] if values else {}


def objects_in(data: bytes, what: str) -> list[dict[str, Any]]:
    """Read the objects in YAML documents; those of lists, too.

    Raises:
        InputError: they are none.
    """
    if len(data) > _BYTES_MAX:
        raise InputError(f"{what} is larger than {_BYTES_MAX >> 20} MiB")
    found: list[dict[str, Any]] = []
    try:
        documents = list(yaml.load_all(data, Loader=_LOADER))
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(f"{what} is not YAML") from None
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            raise InputError(f"{what} has something in it that is no object")
        found += document["items"] if document.get("kind") == "List" and "items" in document else [document]
    return found


#: The fast one where there is one; neither makes anything but plain data.
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _with_values(chart: str, directory: Path) -> str:
    """Copy a chart that is a directory, with one more template that tells its values."""
    source = Path(chart)
    if not (source / "Chart.yaml").is_file():
        if not source.exists() and chart.startswith((".", "/")):
            raise InputError(
                f"there is no chart {chart}", hint="a chart is a directory with Chart.yaml, or its archive"
            )
        return str(source.resolve()) if source.exists() else chart
    copy = directory / source.resolve().name
    shutil.copytree(source, copy, symlinks=False)
    (copy / "templates").mkdir(exist_ok=True)
    (copy / "templates" / "bannock-values.yaml").write_text(_VALUES, encoding="utf-8")
    return str(copy)
