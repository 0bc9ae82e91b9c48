"""What a session has at a moment: its own values, and what it imports, each of which may not be to be had.

Pure. An error that concerns one secret is raised when that one is asked for, so a service that does not use it starts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bannock.errors import BannockError, Bug
from bannock.policy.sharing import limit_update_policy
from bannock.policy.template import SecretKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.policy.canonical import JsonValue
    from bannock.policy.configuration import UpdatePolicy
    from bannock.policy.secret_values import SecretValue
    from bannock.policy.template import Placeholder
    from bannock.values import FspfKey

__all__ = ["ResolvedSecrets", "ResolvedVolume"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedVolume:
    """An imported volume: whose it is, what it is called there, its key, and how far it may be changed."""

    session: str
    name: str
    key: FspfKey
    limit: UpdatePolicy

    def update_policy(self, asked: UpdatePolicy) -> UpdatePolicy:
        """Give the update policy that the volume is used with.

        Raises:
            DeniedError: the session asks for more than the exporting one allows.
        """
        return limit_update_policy(asked, self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSecrets:
    """The secrets of a session by name, and its volumes.

    Attributes:
        secrets: each with its value, or with the reason why there is none.
        volume_keys: the generated keys of the session's own volumes.
        volumes: the imported ones, or the reasons.
    """

    secrets: Mapping[str, SecretValue | BannockError] = field(default_factory=dict)
    volume_keys: Mapping[str, FspfKey] = field(default_factory=dict)
    volumes: Mapping[str, ResolvedVolume | BannockError] = field(default_factory=dict)

    def find(self, name: str) -> SecretValue:
        """Give the value of a secret; that of a certificate has its chain, and its key if that is accessible.

        Raises:
            BannockError: it cannot be had, and why.
        """
        found = self.secrets.get(name)
        if found is None:
            raise Bug(f"secret {name!r} has no value, although its session defines it")
        if isinstance(found, BannockError):
            raise found
        return found

    def render(self, placeholder: Placeholder) -> bytes:
        """Give what stands for a placeholder.

        Raises:
            BannockError: the secret cannot be had, or not in this format.
        """
        meant = placeholder.within(self.secrets)
        found = self.find(meant.name)
        meant.require_fit(found.kind, as_text=False)
        return meant.render(found.kind, found.value)

    def structure(self, placeholder: Placeholder) -> JsonValue:
        """Give what stands for a placeholder in a section of the configuration: fragments as they are, others as text.

        Raises:
            BannockError: the secret cannot be had, or not as text.
        """
        meant = placeholder.within(self.secrets)
        found = self.find(meant.name)
        meant.require_fit(found.kind, as_text=True)
        if found.kind is SecretKind.CONFIG_FRAGMENT and not meant.escape_json:
            structure: JsonValue = json.loads(found.value.reveal())
            return structure
        return meant.render(found.kind, found.value).decode("utf-8")

    def volume_key(self, name: str) -> FspfKey:
        """Give the key of a volume that CAS made, or that is imported.

        Raises:
            BannockError: the volume cannot be had, and why.
        """
        imported = self.volume(name)
        if imported is not None:
            return imported.key
        if name not in self.volume_keys:
            raise Bug(f"volume {name!r} has no key, although its session asks for one")
        return self.volume_keys[name]

    def volume(self, name: str) -> ResolvedVolume | None:
        """Give an imported volume; None for one of the session's own.

        Raises:
            BannockError: the volume cannot be had, and why.
        """
        found = self.volumes.get(name)
        if isinstance(found, BannockError):
            raise found
        return found
