"""How long an image takes to be protected, beside building it and beside encrypting it as a whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.images.place import timed
from benchmarks.images.results import BUILD, SAVE, SCONIFIED, Measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.images.place import Place

__all__ = ["Conversions"]

_FILES: Final = Path("/usr")
_MEGABYTE: Final = 1_000_000
_SEALED: Final = Path("bannock") / "images" / "sealed"


class Conversions:
    """Images with real files, of one size.

    Args:
        place: where it is measured.
        megabytes: of files, taken from /usr of this machine.
    """

    def __init__(self, place: Place, megabytes: int) -> None:
        self._place = place
        self._engine = place.engine
        self._name = f"{megabytes} MB"
        self._context = place.directory / f"context{megabytes}"
        self._tag = f"files{megabytes}"
        (self._context / "app").mkdir(parents=True)
        _take(self._context / "files", megabytes * _MEGABYTE)
        (self._context / "app" / "main.py").write_text("print(0)\n", encoding="utf-8")
        (self._context / "copy").write_text(f"FROM {place.bases.python()}\nCOPY files /copied\n", encoding="utf-8")
        lines = f'FROM {place.bases.python()}\nCOPY files /data\nCOPY app /app\nCMD ["python3", "/app/main.py"]\n'
        (self._context / "Dockerfile").write_text(lines, encoding="utf-8")
        self._native = self._built()
        # The engine takes a layer that it has from the second time on.
        self._change()
        self._key = _key(place.directory)
        self._round = 0

    def measure(self) -> Iterator[tuple[str, Measured]]:
        """Do everything once, and say how long each took."""
        self._round += 1
        yield f"{self._name}: {BUILD}", self._copied()
        yield f"{self._name}: {SAVE}", self._saved()
        yield from self._protected("", self._engine.name(f"{self._tag}-protected"), Path())
        registry = self._place.registry
        target = f"docker://{registry.address}/{self._tag}-{self._round}"
        yield from self._protected(", to a registry", target, registry.directory)

    def _protected(self, how: str, target: str, registry: Path) -> Iterator[tuple[str, Measured]]:
        """Protect the image, once more, and after one file of the application was changed."""
        cache = self._place.directory / f"cache-of-{self._tag}{how and '-registry'}-{self._round}"
        shutil.copytree(self._place.directory / "cache" / "bannock" / "layers", cache / "bannock" / "layers")
        title = f"{self._name}: {SCONIFIED}{how}"
        try:
            yield title, self._sconified(target, cache, registry)
            yield f"{title}, nothing changed", self._sconified(target, cache, registry)
            self._change()
            yield f"{title}, one file changed", self._sconified(target, cache, registry)
        finally:
            shutil.rmtree(cache)

    def _sconified(self, target: str, cache: Path, registry: Path) -> Measured:
        counted = registry if registry != Path() else None
        sealed, pushed = _size(cache / _SEALED), _size(counted)
        took = self._place.sconify(self._native, target, self._tag, "--dir=/data", "--dir=/app", cache=cache)
        return Measured(
            seconds=took.seconds,
            peak=took.peak,
            sealed=_size(cache / _SEALED) - sealed,
            pushed=_size(counted) - pushed,
        )

    def _change(self) -> None:
        (self._context / "app" / "main.py").write_text(f"print({time.time_ns()})\n", encoding="utf-8")
        self._built()

    def _built(self) -> str:
        return self._engine.built(self._tag, self._context)

    def _copied(self) -> Measured:
        words = ["docker", "build", "-q", "--no-cache", "-f", str(self._context / "copy"), str(self._context)]
        return Measured(seconds=timed(words, self._engine.environment).seconds)

    def _saved(self) -> Measured:
        script = 'set -o pipefail; docker save "$0" | age -r "$1" > "$2"'
        target = self._place.directory / "saved"
        words = ["/bin/bash", "-c", script, self._native, self._key, str(target)]
        took = timed(words, self._engine.environment)
        target.unlink()
        return Measured(seconds=took.seconds)


def _take(target: Path, size: int) -> None:
    """Copy real files until there are so many bytes of them."""
    for directory, names, files in os.walk(_FILES):
        names.sort()
        for name in sorted(files):
            source = Path(directory) / name
            if source.is_symlink() or not source.is_file():
                continue
            place = target / source.relative_to(_FILES)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
            size -= place.stat().st_size
            if size <= 0:
                return


def _key(directory: Path) -> str:
    """Make a key of age, and give its public part."""
    path = directory / "age.key"
    if not path.exists():
        subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    return subprocess.check_output(["age-keygen", "-y", str(path)], text=True).strip()


def _size(directory: Path | None) -> int:
    if directory is None:
        return 0
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
