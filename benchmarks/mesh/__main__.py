"""The command: measure and print, or print what was measured before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.images.layer import cached_layer
from bannock.mesh.build.context import write_context
from bannock.mesh.build.recipe import Bases, recipe_of
from bannock.mesh.manifests import parse_service
from benchmarks.command import command, keep
from benchmarks.goals import Unit
from benchmarks.mesh.results import APPLY, BUILD, measurement
from benchmarks.shield.machine import facts
from tests.containers import BaseImages, running_engine, running_registry

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from benchmarks.rows import Measurement
    from tests.containers import Engine, Registry

_FACTS: Final = frozenset({"date", "kernel", "processor", "memory", "storage", "load before", "Bannock"})
_COMMAND: Final = (sys.executable, "-I", "-m", "bannock.cli.sconectl", "apply", "-f", "service.yaml")
_MANIFEST: Final = """\
apiVersion: scone/5.8
kind: genservice
environment:
  local:
    - name: SCONE_HEAP
      value: 760M
    - name: API_PASSWORD
      value: "$$SCONE::password$$"
  global:
    - name: API_USER
secrets:
  global:
  - name: password
    kind: ascii
    size: 10
build:
  name: hello
  kind: python
  from: {base}
  to: {to}
  pwd: /python
  command: python3 print_env.py
  copy:
    - print_env.py
    - lib
  run:
    - echo "a command"
    - echo "another"
"""
_MODULES: Final = 20


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    return command(arguments, "mesh", _options, _run)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=7, help="how often everything is measured (%(default)s)")
    parser.add_argument("--directory", type=Path, help="where the files are (the system's for temporary files)")


def _run(options: argparse.Namespace) -> list[Measurement]:
    directory = Path(tempfile.mkdtemp(prefix="bannock-bench-mesh-", dir=options.directory))
    found = {name: fact for name, fact in facts(directory).items() if name in _FACTS}
    results = measurement(found)
    try:
        cached_layer(directory / "cache" / "bannock" / "layers")
        for name in ("engine", "registry", "bases", "service"):
            (directory / name).mkdir()
        with (
            running_engine(directory / "engine") as engine,
            running_registry(directory / "registry") as registry,
        ):
            bases = BaseImages.in_directory(engine, directory / "bases")
            service = _Service(directory, engine, registry, bases.python())
            service.prepare()
            for _ in range(options.runs):
                service.measure(results)
                keep(options.csv, [results])
            results.facts["Docker"] = engine.output("version", "--format", "{{.Server.Version}}")
            keep(options.csv, [results])
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return [results]


@dataclass(slots=True)
class _Service:
    """A service of a few modules, in which a line is changed again and again."""

    directory: Path
    engine: Engine
    registry: Registry
    base: str

    def prepare(self) -> None:
        """Write it, and do everything once."""
        place = self.directory / "service"
        (place / "lib").mkdir()
        for number in range(_MODULES):
            (place / "lib" / f"module{number}.py").write_text(f"VALUE = {number}\n" * 100, encoding="utf-8")
        text = _MANIFEST.format(base=self.base, to=self._image)
        (place / "service.yaml").write_text(text, encoding="utf-8")
        self._change()
        self._apply()
        context = self._context()
        self._build_and_push()
        shutil.rmtree(context)

    def measure(self, results: Measurement) -> None:
        """Change a file before each, and say how long each took."""
        for case, who, call in (
            ("one file changed", BUILD, self._build),
            ("one file changed", APPLY, lambda: self._apply("--no-push")),
            ("one file changed, pushed", BUILD, self._build_and_push),
            ("one file changed, pushed", APPLY, self._apply),
        ):
            self._change()
            context = self._context()
            begun = time.perf_counter()
            call()
            results.add(case, who, Unit.SECONDS, time.perf_counter() - begun)
            shutil.rmtree(context)

    @property
    def _image(self) -> str:
        return f"{self.registry.address}/{self.engine.prefix}/service:1"

    @property
    def _plain(self) -> str:
        return f"{self.registry.address}/{self.engine.prefix}/plain:1"

    def _change(self) -> None:
        path = self.directory / "service" / "print_env.py"
        path.write_text(f"import lib.module1\nprint({time.time_ns()})\n", encoding="utf-8")

    def _context(self) -> Path:
        """Give the Dockerfile and the files that sconectl would have the engine build."""
        place, target = self.directory / "service", self.directory / "context"
        recipe = recipe_of(parse_service((place / "service.yaml").read_text(encoding="utf-8")).build, Bases())
        with tempfile.TemporaryFile() as file:
            write_context(file, recipe, place, without=place / "target")
            file.seek(0)
            with tarfile.open(fileobj=file) as tar:
                tar.extractall(target, filter="data")
        return target

    def _build(self) -> None:
        self._call(["docker", "build", "-q", "-t", self._plain, str(self.directory / "context")])

    def _build_and_push(self) -> None:
        self._build()
        self._call(["docker", "push", "-q", self._plain])

    def _apply(self, *options: str) -> None:
        self._call([*_COMMAND, *options])

    def _call(self, words: Sequence[str]) -> None:
        environment = {
            **self.engine.environment,
            "HOME": str(self.directory),
            "XDG_CACHE_HOME": str(self.directory / "cache"),
            "PATH": os.environ["PATH"],
        }
        done = subprocess.run(
            words, cwd=self.directory / "service", env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{words[:4]} failed: {done.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
