"""Print what pyproject.toml lists for one purpose, one requirement a line, for the lock files.

``dev`` is the dependency group, ``build`` what builds this package.
"""

import sys
import tomllib
from pathlib import Path


def listed(purpose: str) -> list[str]:
    """Return the requirements of ``build`` or ``dev``."""
    root = Path(__file__).parent.parent
    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    requirements = {"build": document["build-system"]["requires"], "dev": document["dependency-groups"]["dev"]}
    return list(requirements[purpose])


if __name__ == "__main__":
    sys.stdout.write("\n".join(listed(sys.argv[1])) + "\n")
