"""From what a release is to be to pods: new ones before old ones go where that is the way of the workload."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from bannock.kubernetes.local.place import LABEL
from bannock.kubernetes.local.pod import Pod
from bannock.kubernetes.local.settings import published

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bannock.kubernetes.local.engine_pods import PodContainer
    from bannock.kubernetes.local.model import Workload
    from bannock.kubernetes.local.pod import Surroundings
    from bannock.kubernetes.local.starting import PodStarter

__all__ = ["Rollout"]

#: Those that Kubernetes takes: no vowels, and nothing that looks like another.
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX: Final = 5
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Brings the pods of a release to what it says.

    Attributes:
        starter: of pods.
        surroundings: of the pods.
        seconds: that a new pod may take until it is ready, where somebody waits for it.
        wait: whether all pods are waited for.
    """

    starter: PodStarter
    surroundings: Surroundings
    seconds: float
    wait: bool = False

    def run_hooks(self, moment: str) -> None:
        """Run the hooks of a moment one after the other, each to its end.

        Raises:
            EnvironmentFault: one fails.
        """
        for workload in self.surroundings.rendered.at(moment):
            self.starter.remove([*self._pods(workload)], self.surroundings.namespace)
            pod = self._pod(workload, 0)
            self.starter.observer(f"{moment}: {workload.reference}")
            self.starter.start(pod)
            self.starter.wait_for_job(pod.name, workload, self.surroundings.namespace)

    def apply(self) -> None:
        """Bring all workloads to what they are to be, each for itself, and remove pods of those that are no more.

        Raises:
            BannockError: a pod cannot be started, or does not become ready where it has to; the first of these.
        """
        workloads = self.surroundings.rendered.workloads
        known = {each.reference for each in workloads}
        known |= {each.workload.reference for each in self.surroundings.rendered.hooks}
        left = {each.pod for each in self._containers() if each.workload not in known}
        self.starter.remove(sorted(left), self.surroundings.namespace)
        self._at_once([partial(self.apply_workload, each) for each in workloads])

    def apply_workload(self, workload: Workload) -> None:
        """Bring one workload to what it is to be.

        Raises:
            BannockError: as :meth:`apply`.
        """
        if workload.kind == "StatefulSet":
            self._apply_set(workload)
        elif workload.kind in ("Job", "Pod"):
            self._apply_one(workload)
        else:
            self._apply_deployment(workload)

    def _apply_deployment(self, workload: Workload) -> None:
        here = self.surroundings.namespace
        found = self._pods(workload)
        same = [name for name, containers in found.items() if self._is_same(workload, name, containers)]
        kept, old = same[: workload.replicas], [name for name in found if name not in same[: workload.replicas]]
        first = self._pod(workload, 0)
        # Two pods cannot have one port of the machine.
        if workload.recreate or workload.template.host_network or published(first):
            self.starter.remove(old, here)
            old = []
        for number in range(len(kept), workload.replicas):
            pod = self._pod(workload, number)
            self.starter.start(pod)
            if old or self.wait:
                self.starter.wait_until_ready(pod.name, workload, here, self.seconds)
            if old:
                self.starter.remove([old.pop()], here)
        self.starter.remove(old, here)

    def _apply_set(self, workload: Workload) -> None:
        here = self.surroundings.namespace
        found = self._pods(workload)
        wanted = [f"{workload.name}-{number}" for number in range(workload.replicas)]
        self.starter.remove([name for name in found if name not in wanted], here)
        changed = [name for name in wanted if name in found and not self._is_same(workload, name, found[name])]
        missing = [name for name in wanted if name not in found]
        for name in [*reversed(changed), *missing]:
            self.starter.remove([name], here)
            self.starter.start(self._pod(workload, wanted.index(name), name))
            last = name == (missing or changed[:1])[-1]
            if self.wait or not (workload.together or last):
                self.starter.wait_until_ready(name, workload, here, self.seconds)

    def _apply_one(self, workload: Workload) -> None:
        found = self._pods(workload)
        if any(self._is_same(workload, name, containers) for name, containers in found.items()):
            return
        self.starter.remove([*found], self.surroundings.namespace)
        pod = self._pod(workload, 0)
        self.starter.start(pod)
        if self.wait and workload.kind == "Job":
            self.starter.wait_for_job(pod.name, workload, self.surroundings.namespace)
        elif self.wait:
            self.starter.wait_until_ready(pod.name, workload, self.surroundings.namespace, self.seconds)

    def _pod(self, workload: Workload, number: int, name: str = "") -> Pod:
        if not name:
            end = "".join(secrets.choice(_LETTERS) for _ in range(_SUFFIX))
            name = {
                "Deployment": f"{workload.name}-{workload.fingerprint}-{end}",
                "StatefulSet": f"{workload.name}-{number}",
                "Pod": workload.name,
            }.get(workload.kind, f"{workload.name}-{end}")
        return Pod(name=name, workload=workload, number=number, surroundings=self.surroundings)

    def _is_same(self, workload: Workload, name: str, containers: Sequence[PodContainer]) -> bool:
        names = " ".join(self._pod(workload, 0, name).names())
        running = [each for each in containers if not each.first]
        complete = {each.name for each in running} >= {each.name for each in workload.template.containers}
        return complete and all(each.fingerprint == workload.fingerprint and each.names == names for each in running)

    def _pods(self, workload: Workload) -> dict[str, list[PodContainer]]:
        found: dict[str, list[PodContainer]] = {}
        for each in self._containers(f"{LABEL}.workload={workload.reference}"):
            found.setdefault(each.pod, []).append(each)
        return found

    def _containers(self, *labels: str) -> list[PodContainer]:
        here = self.surroundings
        return self.starter.pods.containers(*here.place.of_release(here.namespace, here.release), *labels)

    def _at_once(self, calls: Sequence[Callable[[], None]]) -> None:
        """Make calls at once; who is interrupted does not wait for those that wait."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            running = [pool.submit(call) for call in calls]
            try:
                problems = [problem for each in running if (problem := each.exception()) is not None]
            except BaseException:
                self.starter.ended.set()
                raise
        if problems:
            raise problems[0]
