"""Releases on this machine: what each was rendered to is kept in a file, so that pods can be made again."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import ConflictError, IntegrityError, NotFoundError
from bannock.files import private_directory, read_private, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Release", "ReleaseBook"]

_FORMAT: Final = 1
_HISTORY: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release. What it was rendered to may have secrets in it.

    Attributes:
        name, namespace: of it.
        chart: that it was rendered from.
        revision: how often it was changed.
        updated: when it was, RFC 3339.
        status: ``deployed``, ``failed``, or ``pending`` while somebody works on it.
        documents: the objects of the chart.
        values: of the chart, all of them.
        aliases: names of others → addresses.
        former: what it was before: revision, chart, documents and values of each.
    """

    name: str
    namespace: str
    chart: str
    revision: int
    updated: str
    status: str
    documents: Sequence[Mapping[str, Any]] = field(repr=False)
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    aliases: Mapping[str, str] = field(default_factory=dict)
    former: Sequence[Mapping[str, Any]] = field(default=(), repr=False)

    def succeeded_by(self, following: Release) -> Release:
        """Return what comes after this one, with this one among what it was before."""
        past = {
            "revision": self.revision, "chart": self.chart, "documents": self.documents, "values": self.values,
            "aliases": self.aliases,
        }  # fmt: skip
        return replace(following, revision=self.revision + 1, former=[*self.former, past][-_HISTORY:])

    def document(self, kind: str, name: str) -> Mapping[str, Any]:
        """Return an object of the chart.

        Raises:
            NotFoundError: there is none.
        """
        for each in self.documents:
            if each.get("kind") == kind and each.get("metadata", {}).get("name") == name:
                return each
        raise NotFoundError(f"the release {self.name} has no {kind} {name}")

    def with_document(self, changed: Mapping[str, Any]) -> Release:
        """Return the release with an object in the place of the one of its kind and name."""
        key = (changed.get("kind"), changed.get("metadata", {}).get("name"))
        documents = [
            changed if (each.get("kind"), each.get("metadata", {}).get("name")) == key else each
            for each in self.documents
        ]
        return replace(self, documents=documents)


class ReleaseBook:
    """The releases of a user.

    Args:
        directory: where they are kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def all(self, namespace: str | None = None) -> list[Release]:
        """Return the releases of a namespace, or of all of them, by name."""
        paths = sorted(self._directory.glob("*/*.json")) if self._directory.is_dir() else []
        return [self._read(path) for path in paths if namespace in (None, path.parent.name)]

    def find(self, namespace: str, name: str) -> Release | None:
        """Return a release, None if there is none."""
        path = self._path(namespace, name)
        return self._read(path) if path.exists() else None

    def get(self, namespace: str, name: str) -> Release:
        """Return a release.

        Raises:
            NotFoundError: there is none.
        """
        found = self.find(namespace, name)
        if found is None:
            raise NotFoundError(
                f"there is no release {name} in the namespace {namespace}",
                hint="bannock k8s list tells which there are",
            )
        return found

    def write(self, release: Release) -> None:
        """Keep a release."""
        path = self._path(release.namespace, release.name)
        private_directory(self._directory)
        private_directory(path.parent)
        text = {
            "format": _FORMAT, "name": release.name, "namespace": release.namespace, "chart": release.chart,
            "revision": release.revision, "updated": release.updated, "status": release.status,
            "documents": list(release.documents), "values": dict(release.values), "aliases": dict(release.aliases),
            "former": list(release.former),
        }  # fmt: skip
        write_atomically(path, json.dumps(text, default=str).encode("utf-8"))

    def forget(self, namespace: str, name: str) -> None:
        """Remove what is kept of a release."""
        path = self._path(namespace, name)
        path.unlink(missing_ok=True)
        self._lock(namespace, name).unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    @contextmanager
    def held(self, namespace: str, name: str) -> Iterator[None]:
        """Keep others from changing a release.

        Raises:
            ConflictError: somebody else does at this moment.
        """
        private_directory(self._directory)
        descriptor = os.open(self._lock(namespace, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConflictError(f"another process works on the release {name} of {namespace}") from None
            yield
        finally:
            os.close(descriptor)

    def _lock(self, namespace: str, name: str) -> Path:
        return self._directory / f".{namespace}.{name}.lock"

    def _path(self, namespace: str, name: str) -> Path:
        return self._directory / namespace / f"{name}.json"

    def _read(self, path: Path) -> Release:
        try:
            found = json.loads(read_private(path))
            if found.pop("format") != _FORMAT:
                raise ValueError
            return Release(**found)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise IntegrityError(f"{path} is not what is kept of a release", hint=f"remove it: rm {path}") from None
