"""A thread that looks at everything that runs, every few seconds."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Self

from benchmarks.soak.tree import children, descendants, held

if TYPE_CHECKING:
    from benchmarks.soak.faults import Scene
    from benchmarks.soak.report import Course

__all__ = ["Sampler"]

_SECONDS: Final = 5.0


class Sampler:
    """Looks as long as its context lasts."""

    def __init__(self, scene: Scene, course: Course) -> None:
        self._scene = scene
        self._course = course
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_SECONDS):
            self._look()

    def _look(self) -> None:
        now, parents, samples = self._course.seconds, children(), self._course.samples
        for server in (self._scene.cas, self._scene.las):
            if server.is_running:
                samples.add(now, server.name, server.lives, held(descendants(server.pid, parents)))
        for service in self._scene.services:
            if (pid := service.pid) is not None:
                samples.add(now, service.name, service.lives, held(descendants(pid, parents)))
