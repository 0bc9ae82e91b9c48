"""A CAS in a cluster: a release of the chart ``cas``, installed, reached, upgraded."""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.charts.services import service_chart
from bannock.errors import BannockError, EnvironmentFault, NotFoundError
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.kubernetes.cluster import Cluster
    from bannock.net.address import Address

__all__ = ["CasRelease", "image_name", "with_version"]

_CHART: Final = "cas"
_PORT: Final = 8081
_READY_SECONDS: Final = 300
#: Helm's own waiting ends before ours does.
_GRACE_SECONDS: Final = 30
_TOKEN: Final = re.compile(r"provisioning token ([0-9a-f]{32})\b")
_NO_DEVICE: Final = (
    "where no node has the device that it asks for, say what vouches for it: --set useSGXDevPlugin=none (or tdx, …); "
    "`kubectl describe pods` tells what it waits for"
)


def image_name(registry: str, version: str | None) -> str:
    """Return the name of the CAS's image in a registry; without one, of the machine's or the cluster's own."""
    plain = f"{registry.rstrip('/')}/bannock-cas" if registry else "bannock-cas"
    return f"{plain}:{version}" if version else plain


def with_version(image: str, version: str) -> str:
    """Return another version of an image."""
    path, slash, last = image.partition("@")[0].rpartition("/")
    return f"{path}{slash}{last.partition(':')[0]}:{version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CasRelease:
    """A CAS.

    Attributes:
        cluster: the namespace that it is in.
        name: of release and service.
    """

    cluster: Cluster
    name: str

    @property
    def host(self) -> str:
        """How services of the cluster call it."""
        return f"{self.name}.{self.cluster.namespace}"

    def is_there(self) -> bool:
        """Return whether there is a service of that name.

        Raises:
            EnvironmentFault: the cluster is not to be reached.
        """
        return bool(self.cluster.kubectl("get", "service", self.name, "--ignore-not-found", "--output=name").strip())

    def install(self, image: str | None, settings: Sequence[str] = (), values: Path | None = None) -> None:
        """Install it, and wait until it serves; one that is there keeps its data and its settings.

        Args:
            image: of the container; None for the one that it has, or the chart's.
            settings: ``PARAMETER=VALUE`` of the chart.
            values: a file with more of them.

        Raises:
            NotFoundError: there is no such namespace.
            EnvironmentFault: it does not come up.
        """
        self.cluster.require_namespace()
        words = ["--reuse-values"] if self.is_there() else ["--set", "persistence.enabled=true"]
        words += ["--set", f"fullnameOverride={self.name}"]
        if image is not None:
            words += ["--set", f"image={image}"]
        words += [word for setting in settings for word in ("--set", setting)]
        if values is not None:
            words += ["--values", str(values)]
        self._upgrade(*words)

    def upgrade(self, version: str) -> None:
        """Start another version of its software on its data, and wait until it serves.

        Raises:
            NotFoundError: there is no such CAS.
            EnvironmentFault: it does not come up; the version before runs again.
        """
        image = self._image()
        try:
            self._upgrade("--reuse-values", "--set", f"image={with_version(image, version)}")
        except EnvironmentFault as error:
            try:
                self.roll_back()
            except BannockError as second:
                raise EnvironmentFault(f"{error.message}; and {second.message}", hint=error.hint) from error
            raise EnvironmentFault(f"{error.message}; {image} runs again", hint=error.hint) from error

    def roll_back(self) -> None:
        """Start what ran before the last upgrade.

        Raises:
            EnvironmentFault: it does not come up.
        """
        seconds = _READY_SECONDS + _GRACE_SECONDS
        self.cluster.helm("rollback", self.name, "--wait", "--timeout", f"{_READY_SECONDS}s", seconds=seconds)

    def token(self) -> Secret:
        """Return the token of a CAS that nobody owns, from its console.

        Raises:
            NotFoundError: it is not there any more.
        """
        told = self.cluster.kubectl("logs", f"statefulset/{self.name}", "--tail=-1")
        found = _TOKEN.findall(told)
        if not found:
            raise NotFoundError(
                f"the console of the CAS {self.host} has no provisioning token",
                hint=f"start it anew: kubectl rollout restart statefulset/{self.name} -n {self.cluster.namespace}",
            )
        return Secret(found[-1].encode("ascii"))

    def wait(self, seconds: int = _READY_SECONDS) -> None:
        """Wait until it serves.

        Raises:
            EnvironmentFault: it does not.
        """
        self.cluster.kubectl(
            "rollout", "status", f"statefulset/{self.name}", f"--timeout={seconds}s", seconds=seconds + _GRACE_SECONDS
        )

    @contextmanager
    def reached(self) -> Iterator[Address]:
        """Reach its client interface from here, as long as the context lasts.

        Raises:
            NotFoundError: there is no such CAS.
            EnvironmentFault: it is not to be reached.
        """
        if not self.is_there():
            raise NotFoundError(
                f"there is no CAS {self.name} in the namespace {self.cluster.namespace}",
                hint=f"install it: kubectl provision cas {self.name} -n {self.cluster.namespace}",
            )
        with self.cluster.forwarded(self.name, _PORT) as address:
            yield address

    def _image(self) -> str:
        try:
            found = json.loads(self.cluster.helm("get", "values", self.name, "--all", "--output", "json"))["image"]
        except (ValueError, KeyError, TypeError):
            found = None
        if not isinstance(found, str) or not found:
            raise NotFoundError(f"the release {self.name} of helm does not say which image it has")
        return found

    def _upgrade(self, *words: str) -> None:
        with tempfile.TemporaryDirectory(prefix="bannock-chart-") as directory:
            chart = service_chart(_CHART).write(Path(directory))
            try:
                self.cluster.helm(
                    "upgrade", "--install", self.name, str(chart), *words, "--wait", "--timeout", f"{_READY_SECONDS}s",
                    seconds=_READY_SECONDS + _GRACE_SECONDS,
                )  # fmt: skip
            except EnvironmentFault as error:
                raise EnvironmentFault(error.message, hint=error.hint or _NO_DEVICE) from error
