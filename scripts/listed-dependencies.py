"""Print what pyproject.toml lists for one purpose, one requirement a line, for the lock files.

``dev`` is the dependency group; ``fuse`` is the optional dependency together with what compiles it,
so that the compilation takes locked packages as well.
"""

import sys
import tomllib
from pathlib import Path

#: The build requirements of pyfuse3 beside setuptools, which requirements.lock has: its pyproject.toml.
_COMPILES_PYFUSE3 = ["Cython", "setuptools_scm>=8.0"]


def listed(purpose: str) -> list[str]:
    """Return the requirements of ``dev`` or ``fuse``."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    if purpose == "dev":
        return list(project["dependency-groups"]["dev"])
    return [*project["project"]["optional-dependencies"]["fuse"], *_COMPILES_PYFUSE3]


if __name__ == "__main__":
    sys.stdout.write("\n".join(listed(sys.argv[1])) + "\n")
