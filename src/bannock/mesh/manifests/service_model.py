"""The manifest of a service (``kind: genservice``): how its image is made, and what it needs of a mesh. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bannock.mesh.manifests import kinds
from bannock.mesh.manifests.description import ListOf, Record, Text, Truth, described
from bannock.mesh.manifests.secret_kind import SecretEntry, SecretKindOf

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Build",
    "BuildKind",
    "Environment",
    "GlobalVariable",
    "InjectedFile",
    "LocalVariable",
    "PolicyTemplate",
    "Secrets",
    "ServiceManifest",
    "Signature",
    "Volume",
    "VolumeExport",
    "VolumeImport",
]


class BuildKind(StrEnum):
    """What a service is made of."""

    PYTHON = "python"
    NODE = "node"
    JAVA = "java"
    JAVA8 = "java8"
    JAVA15 = "java15"
    JAVA17 = "java17"
    RUST = "rust"
    GO = "go"
    BINARY = "binary"
    C = "c"
    IMAGE = "image"
    SCONIFY_IMAGE = "sconify_image"

    @property
    def is_java(self) -> bool:
        """Whether a virtual machine of Java runs it."""
        return self in {BuildKind.JAVA, BuildKind.JAVA8, BuildKind.JAVA15, BuildKind.JAVA17}

    @property
    def is_image(self) -> bool:
        """Whether an image that exists already is made a service of."""
        return self in {BuildKind.IMAGE, BuildKind.SCONIFY_IMAGE}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalVariable:
    """A variable with its value."""

    name: str = described(kinds.VARIABLE, "name of the variable", example="SCONE_HEAP")
    value: str = described(
        kinds.PLAIN, "its value; $$SCONE::NAME$$ stands for a secret", example="760M", default="", secret=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalVariable:
    """A variable whose value comes from the mesh; ``value`` is the default, None where the mesh has to give one."""

    name: str = described(kinds.VARIABLE, "name of the variable", example="API_USER")
    value: str | None = described(kinds.PLAIN, "its value where the mesh gives none", example="myself", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The variables of a service."""

    local: tuple[LocalVariable, ...] = described(
        ListOf(Record(LocalVariable)), "variables that are the same in every mesh", default=()
    )
    global_: tuple[GlobalVariable, ...] = described(
        ListOf(Record(GlobalVariable)),
        "variables that a mesh sets; it has to where there is no value here",
        key="global",
        default=(),
    )

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the variables that a mesh has to set."""
        return tuple(variable.name for variable in self.global_ if variable.value is None)

    @property
    def defaults(self) -> Mapping[str, str]:
        """Values of the variables that a mesh may set."""
        return {variable.name: variable.value for variable in self.global_ if variable.value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The secrets of a service."""

    global_: tuple[SecretEntry, ...] = described(
        ListOf(SecretKindOf()),
        "secrets that this service defines, for all services of its mesh",
        key="global",
        default=(),
    )
    import_: tuple[str, ...] = described(
        ListOf(kinds.LABEL), "names of secrets that other services of the mesh define", key="import", default=()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectedFile:
    """A file that the enclave alone sees."""

    path: str = described(kinds.ABSOLUTE, "path of the file", example="/etc/nginx_ca.crt")
    content: str = described(
        kinds.PLAIN,
        "what is in it; $$SCONE::NAME$$ stands for a secret, {{NAME}} for a value of the mesh",
        example="$$SCONE::NGINX_SERVER_CA_CERT.chain$$",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """How the program is signed; programs are always signed, ``sign`` is taken for compatibility."""

    sign: bool = described(Truth(), "whether to sign; programs are always signed", default=True)
    key: str | None = described(
        kinds.LOCAL_FILE,
        "file of the key that signs; made where it is not there (target/identity.pem)",
        example="target/identity.pem",
        default=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTemplate:
    """``gen_policy``."""

    policy: str | None = described(
        kinds.LOCAL_FILE, "file of another template of the policy", example="policy.yaml", default=None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeExport:
    """A session that may use a volume."""

    session: str = described(kinds.SESSION, "name of the session", example="another-session")
    session_hash: str | None = described(kinds.PLAIN, "hash of the one version of it that may", default=None)
    update_policy: str | None = described(
        Text(choices=("ephemeral", "rollback_protected", "no_rollback_protection")),
        "how far it may change the state of the volume (rollback_protected)",
        default=None,
    )
    volume_alias: str | None = described(kinds.PLAIN, "name of the volume for it", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeImport:
    """Where a volume is defined."""

    session: str = described(kinds.SESSION, "name of the session that exports it", example="the_exporting_session")
    volume: str | None = described(kinds.PLAIN, "its name there", example="my_database", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """An encrypted volume."""

    name: str = described(kinds.LABEL, "name of the volume", example="their_database")
    path: str = described(kinds.ABSOLUTE, "where it is for the service", example="/media/database")
    export: tuple[VolumeExport, ...] = described(
        ListOf(Record(VolumeExport)), "sessions that may use it, too", default=()
    )
    import_: VolumeImport | None = described(
        Record(VolumeImport), "the session that has it, if this one does not define it", key="import", default=None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How the image of a service is made."""

    name: str = described(kinds.LABEL, "name of the service", example="python-hello-user")
    kind: BuildKind = described(
        Text(choices=tuple(BuildKind), convert=BuildKind), "what the service is made of", example="python"
    )
    to: str = described(kinds.TAGGED_IMAGE, "name of the image that is made", example="registry.example.com/hello:1")
    command: str = described(
        kinds.COMMAND, "what is started, with its arguments: part of the policy", example="python3 print_env.py"
    )
    from_: str | None = described(kinds.IMAGE, "image that it is made on (one for its kind)", key="from", default=None)
    pwd: str | None = described(
        kinds.ABSOLUTE, "working directory in the image, where files are copied to", example="/python", default=None
    )
    requirements: str | None = described(
        kinds.LOCAL_FILE, "file of packages that are installed: requirements.txt", default=None
    )
    copy: tuple[str, ...] = described(
        ListOf(kinds.LOCAL_FILE), "files and directories below the current one that go to pwd", default=()
    )
    run: tuple[str, ...] = described(
        ListOf(kinds.PLAIN), "commands that are run while the image is made, as RUN of a Dockerfile", default=()
    )
    binaries: tuple[str, ...] = described(
        ListOf(kinds.PLAIN), "the program that becomes an enclave (that of command)", default=()
    )
    dirs: tuple[str, ...] = described(ListOf(kinds.ABSOLUTE), "not taken: code is measured, not encrypted", default=())
    fs_dirs: tuple[str, ...] = described(
        ListOf(kinds.ABSOLUTE), "directories that are measured with the program: changes are refused", default=()
    )
    fs_files: tuple[str, ...] = described(ListOf(kinds.ABSOLUTE), "files that are measured with it", default=())
    host_paths: tuple[str, ...] = described(
        ListOf(kinds.ABSOLUTE), "paths of the container that are shown unprotected, as /etc/hosts", default=()
    )
    plains: tuple[str, ...] = described(ListOf(kinds.ABSOLUTE), "directories that stay in clear", default=())
    plain_files: tuple[str, ...] = described(ListOf(kinds.ABSOLUTE), "files that stay in clear", default=())
    volumes: tuple[Volume, ...] = described(ListOf(Record(Volume)), "encrypted volumes of the service", default=())
    signature: Signature = described(Record(Signature), "how the program is signed", default=Signature())
    stable: str | None = described(
        kinds.IMAGE, "not taken: a mesh that is applied with --rolling remembers the version before", default=None
    )
    gen_policy: PolicyTemplate | None = described(
        Record(PolicyTemplate), "not taken: see image_policy of meshes", default=None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceManifest:
    """The manifest of a service."""

    apiVersion: str = described(kinds.VERSION, "version of the form of manifests", example="scone/5.8")  # noqa: N815 - the key
    kind: str = described(Text(choices=("genservice",)), "what the manifest is of", example="genservice")
    build: Build = described(Record(Build), "how the image is made")
    environment: Environment = described(Record(Environment), "variables of the service", default=Environment())
    secrets: Secrets = described(Record(Secrets), "secrets that it defines and imports", default=Secrets())
    injection_files: tuple[InjectedFile, ...] = described(
        ListOf(Record(InjectedFile)), "files that the enclave alone sees", default=()
    )
