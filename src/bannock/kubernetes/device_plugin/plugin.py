"""The device plugin of a node: serves every resource that the node has, for as long as it runs.

The kubelet knows of no plugin after its start, and has removed all sockets from its directory by then. So its socket
is watched, and everything is registered anew when there is another one.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from bannock.errors import EnvironmentFault
from bannock.kubernetes.device_plugin.messages import KUBELET_SOCKET
from bannock.kubernetes.device_plugin.resources import RESOURCES, found, platforms
from bannock.kubernetes.device_plugin.served import ServedResource

if TYPE_CHECKING:
    import threading
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from bannock.kubernetes.device_plugin.resources import Resource

__all__ = ["DIRECTORY", "POLL_SECONDS", "DevicePlugin", "Labeller"]

_log = logging.getLogger("bannock.k8s")

DIRECTORY: Final = "/var/lib/kubelet/device-plugins"
POLL_SECONDS: Final = 1.0


class Labeller(Protocol):
    """Who tells the cluster which platforms this node has."""

    def label(self, platforms: Collection[str]) -> None:
        """Give the node labels for these platforms, and take those for others away.

        Raises:
            EnvironmentFault: the cluster does not take it.
        """


@dataclass(slots=True, kw_only=True)
class DevicePlugin:
    """The plugin.

    Attributes:
        directory: of the kubelet.
        root: where the names of the node's devices start.
        count: how many containers may have a device at once.
        resources: that are offered, if the node has them.
        labeller: None where nodes get no labels.
    """

    directory: Path
    root: Path
    count: int
    resources: Sequence[Resource] = RESOURCES
    labeller: Labeller | None = None
    _served: dict[str, ServedResource] = field(default_factory=dict, init=False)
    _kubelet: tuple[int, ...] | None = field(default=None, init=False)
    _labelled: frozenset[str] | None = field(default=None, init=False)
    _complaints: dict[str, str] = field(default_factory=dict, init=False)

    def run(self, ended: threading.Event, poll_seconds: float = POLL_SECONDS) -> None:
        """Serve until the event; faults of the kubelet and of the cluster are told and outlived.

        Raises:
            EnvironmentFault: there is no directory of a kubelet.
        """
        if not self.directory.is_dir():
            raise EnvironmentFault(
                f"there is no directory {self.directory}",
                hint="--directory is device-plugins of the kubelet's directory",
            )
        try:
            while True:
                self._look()
                if ended.wait(poll_seconds):
                    return
        finally:
            for served in self._served.values():
                served.stop()

    def _look(self) -> None:
        self._look_at_kubelet()
        for resource in self.resources:
            with self._outlived(resource.name):
                self._look_at(resource)
        with self._outlived("labels"):
            self._label()

    def _look_at_kubelet(self) -> None:
        now = self._kubelet_now()
        if now != self._kubelet:
            if self._kubelet is not None:
                _log.info("the kubelet %s", "is away" if now is None else "was started anew")
            for served in self._served.values():
                served.stop()
            self._kubelet = now

    def _look_at(self, resource: Resource) -> None:
        served = self._served.get(resource.name)
        if served is None:
            if found(resource, self.root) is None:
                return
            served = ServedResource(resource, self.directory, self.root, self.count)
            self._served[resource.name] = served
        served.refresh()
        if self._kubelet is not None and not served.is_serving:
            served.serve()

    def _label(self) -> None:
        now = platforms(self.root)
        if self.labeller is not None and now != self._labelled:
            self.labeller.label(now)
            self._labelled = now

    def _kubelet_now(self) -> tuple[int, ...] | None:
        """Return what tells one socket of the kubelet from another one; a number may be used again, a time is not."""
        try:
            status = (self.directory / KUBELET_SOCKET).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_ctime_ns

    @contextmanager
    def _outlived(self, what: str) -> Iterator[None]:
        """Tell a fault; the same one is met again every time, and told once."""
        try:
            yield
        except EnvironmentFault as error:
            if error.message != self._complaints.get(what):
                _log.warning("%s", error.message)
            self._complaints[what] = error.message
        else:
            self._complaints.pop(what, None)
