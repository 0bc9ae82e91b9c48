"""The manifest of a mesh (``kind: mesh``): services, their CAS, their policies and their values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError
from bannock.images.references import ImageName
from bannock.mesh.manifests import kinds
from bannock.mesh.manifests.description import DEFECT, ListOf, Record, Text, Truth, described
from bannock.policy.documents import Mapping as MappingNode
from bannock.policy.session import Toleration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.mesh.manifests.description import Issues
    from bannock.policy.canonical import JsonValue
    from bannock.policy.documents import Node

__all__ = [
    "Cas",
    "ExtraPolicy",
    "MeshManifest",
    "MeshPolicy",
    "MeshService",
    "Repo",
    "ServiceValues",
    "UploadMode",
    "Value",
]

#: Names in ``env`` that are no services: the second one counts more than the first, a service more than both.
_SHARED: Final = ("global", "helm")
_ADVISORY: Final = "an advisory such as INTEL-SA-00615, or *"


class UploadMode(StrEnum):
    """What becomes of the policies of a mesh."""

    UPLOAD = "Upload"
    SIGNED_MANIFEST = "SignedManifest"
    ENCRYPTED_MANIFEST = "EncryptedManifest"
    NO_UPLOAD = "NoUpload"
    ENCRYPTED_ONLY = "EncryptedOnly"


def _toleration(text: str) -> Toleration:
    word = "debug-mode" if text == "debug" else text
    return Toleration(word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cas:
    """A CAS of the mesh."""

    cas_url: str = described(kinds.CAS_ADDRESS, "its address, as services reach it", example="cas.scone-system")
    name: str = described(
        kinds.VALUE_NAME, "its name; the one of the services is called cas", example="cas", default="cas"
    )
    alias: tuple[str, ...] = described(
        ListOf(kinds.VALUE_NAME), "further roles that it has: image, security, access, attestation", default=()
    )
    cas_key: str | None = described(
        kinds.CAS_KEY,
        "the key that it has to have, in base58",
        example="46YyxrywJ8PFRruWX8YLxa9q4axxYJgTbA81tv7NBcJfn43DQt",
        default=None,
    )
    cas_encryption_key: str | None = described(
        kinds.ENCRYPTION_KEY,
        "its session-encryption key: PEM, or the base64 of it in one line",
        default=None,
    )
    tolerance: str | None = described(
        kinds.PLAIN, "options of scone cas attest that it is attested with", example="-C -G -S", default=None
    )
    mode: UploadMode = described(
        Text(choices=tuple(UploadMode), convert=UploadMode),
        "what becomes of the policies (Upload)",
        example="Upload",
        default=UploadMode.UPLOAD,
    )

    def plays(self, role: str) -> bool:
        """Tell whether it has a role."""
        return role == self.name or role in self.alias


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshPolicy:
    """What all policies of the mesh have in common."""

    namespace: str = described(kinds.NAMESPACE, "namespace that the policies are in", example="myPythonApp")
    tolerate: tuple[Toleration, ...] = described(
        ListOf(Text(choices=(*Toleration, "debug"), convert=_toleration), separator=","),
        "weaknesses of machines that are accepted, separated by commas",
        example="outdated-tcb, hyperthreading",
        default=(),
    )
    ignore_advisories: tuple[str, ...] = described(
        ListOf(Text(what=_ADVISORY), separator=","),
        "security advisories that are accepted, separated by commas; * for all",
        example="*",
        default=(),
    )
    maa: str | None = described(
        kinds.PLAIN,
        "Microsoft's attestation service that appraises the machines, in place of DCAP",
        example="https://sharedweu.weu.attest.azure.net",
        default=None,
    )
    access_policy_name: str | None = described(
        kinds.SESSION,
        "session that says who may read and update the policies: it exports access_read and access_update",
        example="security/policies/access",
        default=None,
    )
    attestation_policy_name: str | None = described(
        kinds.SESSION,
        "session that says how services are attested: it exports attestation",
        example="security/policies/attestation",
        default=None,
    )
    security_policy_name: str | None = described(
        kinds.SESSION,
        "session with the section security of all services: it exports security",
        example="security/policies/security",
        default=None,
    )
    image_policy_namespace: str | None = described(
        kinds.NAMESPACE, "taken for compatibility: images have no policies beside those of the mesh", default=None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A named value."""

    name: str = described(kinds.VALUE_NAME, "its name", example="API_USER")
    value: str = described(kinds.PLAIN, "the value", example="myself", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceValues:
    """The values of one service, or of all."""

    service: str = described(kinds.LABEL, "a service of the mesh, global or helm", example="global")
    env: tuple[Value, ...] = described(ListOf(Record(Value)), "its values", default=())


@dataclass(frozen=True, slots=True)
class _Env:
    """An entry of ``env``: values of a service, or, as older manifests have it, one value of all services."""

    def read(self, node: Node, path: str, issues: Issues) -> Any:
        """Read values of a service."""
        if isinstance(node, MappingNode) and node.get("name") is not None and node.get("service") is None:
            value = Record(Value).read(node, path, issues)
            return DEFECT if value is DEFECT else ServiceValues(service=_SHARED[0], env=(value,))
        return Record(ServiceValues).read(node, path, issues)

    def schema(self) -> dict[str, JsonValue]:
        """Give its JSON Schema."""
        return {"anyOf": [Record(ServiceValues).schema(), Record(Value).schema()]}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshService:
    """A service of the mesh."""

    image: str = described(kinds.IMAGE, "its image", example="registry.example.com/hello:1")
    name_: str | None = described(
        kinds.LABEL, "its name, unique in the mesh (that of the image)", key="name", example="maria_db", default=None
    )
    image_secrets: str | None = described(
        kinds.LOCAL_FILE, "file of secrets that replaces those of the image", example="secrets.yaml", default=None
    )
    image_policy: str | None = described(
        kinds.LOCAL_FILE, "file of a session: what it says takes the place of what the image says", default=None
    )
    helm_chart: str | None = described(
        kinds.LOCAL_FILE, "directory of a chart that replaces the generated one", default=None
    )
    env: str | None = described(
        kinds.LOCAL_FILE,
        "file of variables, local and global as a service has them, that replaces those of the image",
        default=None,
    )

    @property
    def name(self) -> str:
        """The name of the service; without one of its own, that of its image."""
        return self.name_ or ImageName.parse(self.image).repository.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo:
    """What becomes of the images."""

    destination: str = described(kinds.IMAGE, "where images are pushed to", example="registry.example.com/repo")
    push: bool = described(Truth(), "whether they are pushed (true)", default=True)
    squash: bool = described(Truth(), "whether their layers become one (false)", default=False)
    strip: bool = described(Truth(), "taken for compatibility: no image holds more than it needs", default=True)
    config_id: str | None = described(kinds.PLAIN, "service that signs images", default=None)
    key_file: str | None = described(kinds.PLAIN, "file of the key that signs images", default=None)
    signature: str | None = described(kinds.PLAIN, "the same", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraPolicy:
    """A further policy."""

    name: str = described(kinds.LOCAL_FILE, "file of a policy that is uploaded, too", example="policies/extra.yaml")
    mode: str | None = described(Text(choices=("production", "debug")), "the mode in which it is (both)", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshManifest:
    """The manifest of a mesh."""

    apiVersion: str = described(kinds.VERSION, "version of the form of manifests", example="scone/5.8")  # noqa: N815 - the key
    kind: str = described(Text(choices=("mesh",)), "what the manifest is of", example="mesh")
    cas: tuple[Cas, ...] = described(ListOf(Record(Cas), least=1), "where the policies are kept")
    policy: MeshPolicy = described(Record(MeshPolicy), "what all policies have in common")
    services: tuple[MeshService, ...] = described(ListOf(Record(MeshService), least=1), "what the mesh is made of")
    env: tuple[ServiceValues, ...] = described(
        ListOf(_Env()), "values of the variables of services, and of the chart", default=()
    )
    repo: Repo | None = described(Record(Repo), "what becomes of the images", default=None)
    extra_policies: tuple[ExtraPolicy, ...] = described(
        ListOf(Record(ExtraPolicy)), "further policies that are uploaded", default=()
    )
    helm_extra_values: str | None = described(kinds.PLAIN, "further values of the chart, YAML", default=None)

    def values(self, service: str) -> Mapping[str, str]:
        """Give the values of a service: its own, before those for charts, before those for all."""
        named = (*_SHARED, service)
        return {
            value.name: value.value
            for name in named
            for entry in self.env
            if entry.service == name
            for value in entry.env
        }

    def cas_for(self, role: str) -> Cas:
        """Give the CAS of a role: ``cas``, ``image``, ``security``, ``access`` or ``attestation``.

        Raises:
            InputError: no CAS has it, and there are several.
        """
        found = next((cas for cas in self.cas if cas.plays(role)), None)
        if found is not None:
            return found
        if len(self.cas) == 1:
            return self.cas[0]
        raise InputError(f"no CAS of the mesh is called {role!r}, or has that alias")
