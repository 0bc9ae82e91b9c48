"""Images whose program starts as an enclave, made by hand: the runtime's layer, and the launcher in one place."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.identity.layout import LAUNCHER, LAUNCHER_MODE, original_path

if TYPE_CHECKING:
    from bannock.images.tar_layer import BuiltLayer
    from tests.containers import BaseImages, Engine

__all__ = ["FUSE", "MEMORY", "ProtectedImages"]

#: What a container needs for its volumes, and for nothing else.
FUSE: Final = ("--device", "/dev/fuse", "--cap-add", "SYS_ADMIN", "-e", "BANNOCK_MOUNT=fuse")
MEMORY: Final = ("--security-opt", "seccomp=unconfined", "-e", "BANNOCK_MOUNT=memory")


class ProtectedImages:
    """Makes them, each once."""

    def __init__(self, engine: Engine, bases: BaseImages, layer: BuiltLayer, directory: Path) -> None:
        self._engine = engine
        self._bases = bases
        self._layer = layer
        self._directory = directory
        self._made: dict[tuple[str, str], str] = {}

    def of(self, what: str, program: str, file: Path | None = None) -> str:
        """Give the image made of a base image (a method of BaseImages) in which a program is protected.

        Args:
            what: the base image.
            program: its path there.
            file: what is put there; None: what is there.
        """
        if (what, program) not in self._made:
            base = str(getattr(self._bases, what)())
            content = self._program(base, program) if file is None else file.read_bytes()
            context = self._directory / f"{what}{program.replace('/', '-')}"
            context.mkdir()
            shutil.copy(self._layer.path, context / "runtime.tar.gz")
            _write(context / "protected.tar", program, content)
            lines = f'FROM {base}\nADD runtime.tar.gz /\nADD protected.tar /\nENTRYPOINT ["{program}"]\n'
            (context / "Dockerfile").write_text(lines)
            self._made[what, program] = self._engine.built(f"protected-{context.name}", context)
        return self._made[what, program]

    def _program(self, base: str, program: str) -> bytes:
        with tarfile.open(self._bases.archive(base)) as archive:
            for name in (program[1:], f".{program}"):
                if name in archive.getnames():
                    content = archive.extractfile(name)
                    assert content is not None
                    return content.read()
        return Path("/bin/busybox").read_bytes()


def _write(path: Path, program: str, content: bytes) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data, mode in ((program, LAUNCHER, LAUNCHER_MODE), (original_path(program), content, 0o755)):
            entry = tarfile.TarInfo(name[1:])
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
