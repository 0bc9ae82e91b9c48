"""The curated images (``images/``), each built when it is first asked for, on a base image of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.containers import BaseImages, Engine

__all__ = ["CuratedImages"]

_BUILD: Final = Path(__file__).parents[1] / "images" / "build.sh"
_PUBLISH: Final = _BUILD.with_name("publish.sh")
#: What an image is built on, where that is another one of them.
_ON: Final = {"tools": "python", "copy_dapp": "copy_demo"}
#: What Debian's Blender needs to render without a display and without a graphics card.
_BLENDER: Final = ("blender", "libegl1", "libegl-mesa0")
_PACKAGES: Final = {"blender": _BLENDER, "blender_python": _BLENDER}
_RUNTIME_ALONE: Final = ("python", "copy_demo", "copy_dapp", *_PACKAGES)


@dataclass(frozen=True)
class CuratedImages:
    """Builds them as users do.

    Attributes:
        engine: where they are.
        bases: what they are built on.
        layers: a directory with the layers that they have.
        have_whole: puts the layer that has all commands there.
    """

    engine: Engine
    bases: BaseImages
    layers: Path
    have_whole: Callable[[], None]
    _made: dict[str, str] = field(default_factory=dict)

    def of(self, what: str) -> str:
        """Give an image, by the name of its directory in ``images/``."""
        if what not in self._made:
            if what in _ON:
                self.of(_ON[what])
            if what not in _RUNTIME_ALONE:
                self.have_whole()
            self._made[what] = self._built(what)
        return self._made[what]

    def session_of_maker(self, what: str) -> str:
        """Give the session that the maker of ``blender`` or ``blender_python`` has for it."""
        self.of(what)
        return (self.layers / f"{what}.yaml").read_text()

    def native(self, what: str) -> str:
        """Give what an image of Blender was made of."""
        return f"{self.of(what)}-native"

    def publish(self, base: str, repository: str, version: str, *images: str) -> None:
        """Put images into a registry, from which sconectl takes them."""
        self.have_whole()
        self._run(_PUBLISH, base, repository, version, *images)

    def _built(self, what: str) -> str:
        base = self.bases.debian(*_PACKAGES[what]) if what in _PACKAGES else self.bases.python()
        self._run(_BUILD, base, self.engine.prefix, what)
        return self.engine.name(what)

    def _run(self, script: Path, *arguments: str) -> None:
        environment = {
            **self.engine.environment,
            "BANNOCK": f"{sys.executable} -I -m bannock.cli.bannock",
            "SCONIFY_IMAGE": f"{sys.executable} -I -m bannock.cli.sconify_image",
            "SCONE_MODE": "sim",
            "LAYERS": str(self.layers),
            "PREFIX": self.engine.prefix,
            "SESSIONS": str(self.layers),
            "XDG_CACHE_HOME": str(self.layers / "cache"),
            # The layers are made with the programs of this installation.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{self.engine.environment['PATH']}",
        }
        done = subprocess.run(
            [str(script), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
