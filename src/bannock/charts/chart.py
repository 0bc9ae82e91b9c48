"""A chart: its files, in memory until they are written."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, InputError
from bannock.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Chart"]

_DESCRIPTION: Final = "Chart.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart.

    Attributes:
        name: of the chart, and of its directory.
        files: path in the chart → text.
    """

    name: str
    files: Mapping[str, str]

    def write(self, directory: Path) -> Path:
        """Write it below a directory, in place of the chart of that name, and return where it is.

        Raises:
            InputError: there is something else of that name.
            EnvironmentFault: the file system refuses.
        """
        target = directory / self.name
        if target.exists() and not (target / _DESCRIPTION).is_file():
            raise InputError(f"{target} is there already, and is no chart", hint="choose another directory")
        try:
            if target.exists():
                shutil.rmtree(target)
            for name, text in self.files.items():
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, text.encode(), mode=0o644)
        except OSError as error:
            raise EnvironmentFault(f"cannot write the chart {target}: {error.strerror}") from error
        return target
