"""The pods of this machine in place of a cluster: charts go in, and are upgraded, changed and taken away again."""

from __future__ import annotations

import datetime as dt
import platform
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import BannockError, NotFoundError
from bannock.images.containers import Containers, Volumes
from bannock.kubernetes.local.place import LABEL, Place
from bannock.kubernetes.local.pod import Surroundings
from bannock.kubernetes.local.releases import Release, ReleaseBook
from bannock.kubernetes.local.rendered import read_rendered
from bannock.kubernetes.local.rollout import Rollout
from bannock.kubernetes.local.starting import PodStarter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bannock.images.engine_socket import EngineSocket
    from bannock.kubernetes.local.engine_pods import EnginePods, PodContainer
    from bannock.kubernetes.local.model import Workload

__all__ = ["HOST", "LocalCluster", "rendered_release"]

#: The address that stands for this machine, in aliases.
HOST: Final = "host"
_SECONDS: Final = 120.0
_DIRECTORY: Final = "k8s"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCluster:
    """This machine.

    Attributes:
        directory: where the user's state is kept.
        engine: socket of its engine.
        environment: of the user.
        observer: is told what happens.
        ended: is set when nobody waits any more.
    """

    directory: Path
    engine: EngineSocket
    environment: Mapping[str, str]
    observer: Callable[[str], None]
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def place(self) -> Place:
        """Whose pods they are."""
        return Place.of(self.directory)

    @property
    def book(self) -> ReleaseBook:
        """The releases."""
        return ReleaseBook(self.directory / _DIRECTORY)

    @property
    def starter(self) -> PodStarter:
        """What starts pods."""
        return PodStarter(
            engine=self.engine, place=self.place, environment=self.environment, ended=self.ended,
            observer=self.observer,
        )  # fmt: skip

    @property
    def pods(self) -> EnginePods:
        """What the engine knows of them."""
        return self.starter.pods

    def install(
        self,
        release: Release,
        *,
        wait: bool = False,
        seconds: float = _SECONDS,
        fresh: Callable[[], None] | None = None,
    ) -> Release:
        """Bring a release to what it is to be; new or not.

        Args:
            release: as it was rendered.
            wait: whether all its pods are waited for until they are ready.
            seconds: that each may take.
            fresh: is called as soon as something may be there that has to be removed.

        Raises:
            BannockError: it cannot be; pods that were there before and are still of use run on.
        """
        with self.book.held(release.namespace, release.name):
            before = self.book.find(release.namespace, release.name)
            following = before.succeeded_by(release) if before else replace(release, revision=1)
            rollout = self._rollout(following, wait=wait, seconds=seconds)
            for note in rollout.surroundings.rendered.notes:
                self.observer(note)
            if fresh is not None:
                fresh()
            self.book.write(replace(following, status="pending", updated=_now()))
            moment = "upgrade" if before else "install"
            try:
                rollout.run_hooks(f"pre-{moment}")
                rollout.apply()
                rollout.run_hooks(f"post-{moment}")
            except BaseException:
                self.book.write(replace(following, status="failed", updated=_now()))
                raise
            done = replace(following, status="deployed", updated=_now())
            self.book.write(done)
            return done

    def change(self, release: Release, kind: str, name: str, *, wait: bool = False) -> None:
        """Bring one workload to what its object says, after that was changed.

        Raises:
            BannockError: as :meth:`install`.
        """
        with self.book.held(release.namespace, release.name):
            rollout = self._rollout(release, wait=wait, seconds=_SECONDS)
            self.book.write(replace(release, updated=_now()))
            rollout.apply_workload(self._workload(rollout, kind, name))

    def replace_pod(self, containers: Sequence[PodContainer], *, grace: int | None = None) -> None:
        """Remove a pod; what made it makes another one.

        Args:
            containers: of the pod.
            grace: seconds that it gets to end at most; None: what it asks for.

        Raises:
            BannockError: that one cannot be started.
        """
        pod = containers[0]
        release = self.book.get(pod.namespace, pod.release)
        with self.book.held(pod.namespace, pod.release):
            self.starter.remove([pod.pod], pod.namespace, grace=grace)
            rollout = self._rollout(release, wait=False, seconds=_SECONDS)
            for workload in rollout.surroundings.rendered.workloads:
                if workload.reference == pod.workload and workload.kind not in ("Job", "Pod"):
                    rollout.apply_workload(workload)

    def stop(self, namespace: str, name: str, *, volumes: bool = False, grace: int | None = None) -> list[str]:
        """Take a release away: its pods, and the claims that came with it.

        Args:
            namespace: that it is in.
            name: of it.
            volumes: whether claims go that would stay in a cluster, too.
            grace: seconds that pods get to end at most; None: what they ask for.

        Returns:
            the names of claims that stay.

        Raises:
            NotFoundError: there is none.
        """
        release = self.book.find(namespace, name)
        containers = self.pods.containers(*self.place.of_release(namespace, name))
        kept = volumes and self.pods.volumes(*self.place.of_release(namespace, name))
        if release is None and not containers and not kept:
            self.book.get(namespace, name)
        with self.book.held(namespace, name):
            if release is not None:
                with suppress(BannockError):
                    self._rollout(release, wait=False, seconds=_SECONDS).run_hooks("pre-delete")
            self.starter.remove(sorted({each.pod for each in containers}), namespace, grace=grace)
            # Hooks, and whatever is new since then.
            self._sweep(namespace, name)
            left = self._drop_claims(release, namespace, name, volumes=volumes)
            self.book.forget(namespace, name)
        if not self.pods.containers():
            self.pods.drop_network()
        return left

    def drop_all_claims(self) -> None:
        """Remove what releases have kept that are gone."""
        for volume in self.pods.volumes(f"{LABEL}.claim"):
            Volumes(self.engine).remove(volume)

    def workload_of(self, container: PodContainer) -> Workload | None:
        """Return what made a pod, None if that is not known any more."""
        release = self.book.find(container.namespace, container.release)
        if release is None:
            return None
        try:
            rendered = read_rendered(release.documents, release.namespace)
        except BannockError:
            return None
        every = [*rendered.workloads, *(hook.workload for hook in rendered.hooks)]
        return next((each for each in every if each.reference == container.workload), None)

    def _workload(self, rollout: Rollout, kind: str, name: str) -> Workload:
        for each in rollout.surroundings.rendered.workloads:
            if (each.kind, each.name) == (kind, name):
                return each
        raise NotFoundError(f"the release {rollout.surroundings.release} has no {kind} {name}")

    def _rollout(self, release: Release, *, wait: bool, seconds: float) -> Rollout:
        rendered = read_rendered(release.documents, release.namespace)
        gateway = self.pods.have_network()
        surroundings = Surroundings(
            place=self.place,
            release=release.name,
            namespace=release.namespace,
            rendered=rendered,
            node=platform.node(),
            host=gateway,
            aliases={name: gateway if each == HOST else each for name, each in release.aliases.items()},
        )
        return Rollout(starter=self.starter, surroundings=surroundings, seconds=seconds, wait=wait)

    def _sweep(self, namespace: str, name: str) -> None:
        containers, labels = Containers(self.engine), self.place.of_release(namespace, name)
        for identity in self.pods.identities(*labels):
            with suppress(NotFoundError):
                containers.remove(identity)
        prefix, volumes = f"{self.place.network}.{namespace}.", Volumes(self.engine)
        for volume in self.pods.volumes(*labels):
            if volume.startswith(prefix) and not volume.startswith(f"{prefix}claim."):
                volumes.remove(volume)

    def _drop_claims(self, release: Release | None, namespace: str, name: str, *, volumes: bool) -> list[str]:
        of_chart: Mapping[str, bool] = {}
        if release is not None:
            with suppress(BannockError):
                of_chart = read_rendered(release.documents, namespace).claims
        prefix, left, engine = self.place.claim(namespace, ""), [], Volumes(self.engine)
        for volume in self.pods.volumes(*self.place.of_release(namespace, name), f"{LABEL}.claim"):
            claim = volume.removeprefix(prefix)
            if volumes or of_chart.get(claim) is False:
                engine.remove(volume)
            else:
                left.append(claim)
        return sorted(left)


def rendered_release(
    name: str,
    namespace: str,
    chart: str,
    documents: Sequence[Mapping[str, Any]],
    values: Mapping[str, Any],
    aliases: Mapping[str, str],
) -> Release:
    """Return a release of what was rendered just now."""
    return Release(
        name=name, namespace=namespace, chart=chart, revision=1, updated=_now(), status="pending", documents=documents,
        values=values, aliases=aliases,
    )  # fmt: skip


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
