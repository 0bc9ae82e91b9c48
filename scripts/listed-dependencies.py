"""Print what pyproject.toml lists for one purpose, one requirement a line, for the lock files.

``dev`` is the dependency group, ``fuse`` the optional dependency, ``build`` what builds this package
and what compiles pyfuse3 (its own build requirements).
"""

import sys
import tomllib
from pathlib import Path

#: Beside setuptools, from the pyproject.toml of pyfuse3.
_COMPILES_PYFUSE3 = ["Cython", "setuptools_scm>=8.0"]


def listed(purpose: str) -> list[str]:
    """Return the requirements of ``build``, ``dev`` or ``fuse``."""
    root = Path(__file__).parent.parent
    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    requirements = {
        "build": [*document["build-system"]["requires"], *_COMPILES_PYFUSE3],
        "dev": document["dependency-groups"]["dev"],
        "fuse": document["project"]["optional-dependencies"]["fuse"],
    }
    return list(requirements[purpose])


if __name__ == "__main__":
    sys.stdout.write("\n".join(listed(sys.argv[1])) + "\n")
