"""Starting pods on the engine, waiting for them, and taking them away."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, EnvironmentFault, NotFoundError
from bannock.images.containers import Containers, Volumes
from bannock.kubernetes.local.engine_pods import EnginePods
from bannock.kubernetes.local.place import LABEL
from bannock.kubernetes.local.probing import is_ready
from bannock.kubernetes.local.pulling import PodImages
from bannock.kubernetes.local.settings import container_settings, published
from bannock.kubernetes.local.volumes import PodVolumes

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from bannock.images.engine_socket import EngineSocket
    from bannock.kubernetes.local.engine_pods import PodContainer
    from bannock.kubernetes.local.model import Workload
    from bannock.kubernetes.local.place import Place
    from bannock.kubernetes.local.pod import Pod

__all__ = ["PodStarter"]

_POLL_SECONDS: Final = 0.2
_LINES: Final = 15
_AT_ONCE: Final = 16
_LINE_CHARACTERS: Final = 400
#: A job may take long, and who waits can interrupt it.
_JOB_SECONDS: Final = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStarter:
    """Starts pods of one place.

    Attributes:
        engine: its socket.
        place: whose they are.
        environment: of the user.
        ended: is set when nobody waits for anything any more.
        observer: is told what happens.
    """

    engine: EngineSocket
    place: Place
    environment: Mapping[str, str]
    ended: threading.Event
    observer: Callable[[str], None]

    @property
    def pods(self) -> EnginePods:
        """What the engine knows of them."""
        return EnginePods(self.engine, self.place)

    def start(self, pod: Pod) -> None:
        """Start a pod: its volumes, the containers that come first to their end, and then all others.

        Raises:
            BannockError: it cannot be started; nothing of it is left but for its claims, and the containers of it that
                failed where what they printed tells why.
        """
        template = pod.workload.template
        images = PodImages(self.engine, self.environment)
        for container in (*template.first, *template.containers):
            images.have(container)
        volumes = PodVolumes(self.engine, pod)
        try:
            volumes.make()
            containers = Containers(self.engine)
            for container in template.first:
                settings = container_settings(pod, container, volumes.mounts(container), first=True)
                identity = containers.create(settings, pod.container_name(container))
                containers.start(identity)
                self._wait_for_end(identity, f"the container {container.name} of {pod.name}", _JOB_SECONDS)
            beside, ports = "", published(pod) if pod.number == 0 else {}
            for container in template.containers:
                settings = container_settings(
                    pod, container, volumes.mounts(container), beside=beside, ports={} if beside else ports
                )
                identity = containers.create(settings, pod.container_name(container))
                containers.start(identity)
                beside = beside or identity
        except BaseException:
            with suppress(BannockError):
                self.remove([pod.name], pod.surroundings.namespace)
            raise
        self.observer(f"pod {pod.name} started")

    def wait_until_ready(self, pod: str, workload: Workload, namespace: str, seconds: float) -> None:
        """Wait until a pod is ready.

        Raises:
            EnvironmentFault: it is not in time, or has ended.
        """
        end = time.monotonic() + seconds
        while True:
            containers = self.of_pod(pod, namespace)
            if is_ready(containers, workload, self.pods):
                return
            failed = next((each for each in containers if each.ended and each.exit_code), None)
            if failed is not None or time.monotonic() > end or not containers:
                what = f"ended with exit code {failed.exit_code}" if failed else f"is not ready within {seconds:g} s"
                raise EnvironmentFault(f"the pod {pod} {what}", reasons=self.last_lines(containers))
            self._pause(pod)

    def wait_for_job(self, pod: str, workload: Workload, namespace: str) -> None:
        """Wait until a job has done what it is for.

        Raises:
            EnvironmentFault: it has failed.
        """
        for container in self.of_pod(pod, namespace):
            if not container.first:
                seconds = workload.seconds or _JOB_SECONDS
                self._wait_for_end(container.identity, f"the job {workload.name}", seconds)

    def of_pod(self, pod: str, namespace: str) -> list[PodContainer]:
        """Return the containers of a pod."""
        return self.pods.containers(f"{LABEL}.namespace={namespace}", f"{LABEL}.pod={pod}")

    def remove(self, pods: Sequence[str], namespace: str, *, grace: int | None = None) -> None:
        """Stop pods, all at once, and remove all of them but their claims.

        Args:
            pods: their names.
            namespace: that they are in.
            grace: seconds that they get to end at most; None: what they ask for.
        """
        containers, volumes = Containers(self.engine), Volumes(self.engine)
        found = [container for pod in pods for container in self.of_pod(pod, namespace)]

        def stop(container: PodContainer) -> None:
            with suppress(NotFoundError):
                containers.stop(container.identity, container.grace if grace is None else min(grace, container.grace))

        running = [each for each in found if each.runs or each.status == "restarting"]
        if running:
            with ThreadPoolExecutor(min(len(running), _AT_ONCE)) as pool:
                for done in [pool.submit(stop, each) for each in running]:
                    done.result()
        # Those that have the network of the first one go before it.
        for container in reversed(found):
            with suppress(NotFoundError):
                containers.remove(container.identity)
        for pod in pods:
            for volume in volumes.labelled(f"{LABEL}.pod={pod}"):
                if volume.startswith(f"{self.place.network}.{namespace}."):
                    volumes.remove(volume)

    def last_lines(self, containers: Sequence[PodContainer]) -> list[str]:
        """Return the last lines that containers printed."""
        found: list[str] = []
        for container in containers:
            told = b"".join(self.pods.printed(container, last=_LINES)).decode("utf-8", "replace")
            found += [
                f"{container.name}: {line.rstrip()[:_LINE_CHARACTERS]}" for line in told.splitlines() if line.strip()
            ][-_LINES:]
        return found

    def _wait_for_end(self, identity: str, what: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            container = self.pods.container(identity)
            if container.ended:
                break
            if time.monotonic() > end:
                raise EnvironmentFault(f"{what} does not end within {seconds:g} seconds")
            self._pause(what)
        if container.exit_code:
            raise EnvironmentFault(
                f"{what} failed with exit code {container.exit_code}", reasons=self.last_lines([container])
            )

    def _pause(self, what: str) -> None:
        if self.ended.wait(_POLL_SECONDS):
            raise EnvironmentFault(f"nobody waits for {what} any more")
