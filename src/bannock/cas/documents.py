"""The JSON documents of both interfaces, as they travel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bannock.cas.owner_config import ConfigFormat
from bannock.net.problem import MEDIA_TYPE

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = [
    "AttestRequest",
    "BackupKeyRequest",
    "BackupRequest",
    "CasAttestation",
    "CommitRequest",
    "CommitsRequest",
    "ExportRequest",
    "ExportedSecret",
    "Health",
    "Nonce",
    "OwnerStatus",
    "Problem",
    "ProvisionRequest",
    "RecoveryKey",
    "RegisteredBackup",
    "Replica",
    "SecretTexts",
    "SecretsRequest",
    "SessionHash",
    "SessionText",
    "Tag",
    "Tags",
    "Token",
    "TokenWish",
    "Value",
    "Values",
    "VolumeStep",
    "VolumeTag",
    "describe_problems",
    "problems",
]

_TagText = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="state of a protection file")]
_HashText = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 over the canonical session")]
_ReceiptText = Annotated[str, Field(description="compact JWS of the CAS: session, generation, hash (docs/cas-api.md)")]
#: Names end up in log lines; what a name may be is decided by the session language.
_NameText = Annotated[str, Field(pattern=r"^[^\s\x00-\x20\x7f-\x9f]+$", max_length=1024)]


#: Steps in one request; more of them do not get cheaper.
COMMITS_MAX: Final = 10_000


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SoftwareProof(_Request):
    """That the other side has the key of its software: a signature over the exporter value of the connection."""

    key: Annotated[str, Field(max_length=1024, description="SubjectPublicKeyInfo, DER in base64")]
    signature: Annotated[str, Field(max_length=1024, description="ECDSA with SHA-256, DER in base64")]


class ExportRequest(_Request):
    """A CAS asks for a secret, for a session that it has."""

    session: _NameText
    session_hash: _HashText | None
    secret: _NameText
    importer: _NameText
    importer_hash: _HashText
    hops: Annotated[int, Field(ge=0, le=1000)]
    software: SoftwareProof


class ExportedSecret(BaseModel):
    """A secret that a session on another CAS imports."""

    kind: str
    value: str
    software: SoftwareProof


class Cause(BaseModel):
    """What is behind an error."""

    detail: str
    reasons: list[str]


class Problem(BaseModel):
    """Why a request was not done (RFC 9457), with all its lines in ``msg``."""

    type: str = Field(examples=["urn:bannock:error:denied"])
    title: str
    status: int
    detail: str
    reasons: list[str]
    causes: list[Cause]
    msg: list[str]
    request: str
    hint: str | None = None


class SessionHash(BaseModel):
    """The hash of the version of a session that is in force, and the word of the CAS for it."""

    hash: _HashText
    receipt: _ReceiptText


class SessionText(BaseModel):
    """A session document, its hash, and the word of the CAS for it."""

    session: str
    hash: _HashText
    receipt: _ReceiptText


class Value(BaseModel):
    """The value of a secret."""

    value: str


class Values(BaseModel):
    """The values of all secrets that a session exports to the public, by name."""

    values: dict[str, Value]


class VolumeTag(BaseModel):
    """The confirmed state of a volume, null before it is initialised."""

    tag: _TagText | None


class Statement(BaseModel):
    """What a CAS says of itself; evidence vouches for every word of it (docs/formats/cas-attestation.md)."""

    nonce: str | None
    channel: _HashText
    cas_certificate: str
    cas_software_certificate: str
    session_encryption_key: str
    provisioned: bool
    provisioning_required: bool
    owner_secret_access: bool
    version: str


class CasAttestation(BaseModel):
    """A statement of a CAS, and the evidence for it."""

    format: str = Field(examples=["bannock-cas-attestation-1"])
    statement: Statement
    evidence: dict[str, Any]


class ActivateRequest(_Request):
    """The wish that the TPM behind this CAS proves itself to whoever asks."""

    challenge: Annotated[str, Field(max_length=32 << 10, description="what the TPM has to open, in base64")]


class Activated(BaseModel):
    """The TPM has opened the challenge: what the CAS shows from now on says so."""

    activated: bool


class ProvisionRequest(_Request):
    """The wish to own a CAS."""

    token: Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="what the CAS printed at its start")]
    config: str = Field(description="the configuration of the owner")
    format: ConfigFormat = Field(default=ConfigFormat.TOML, strict=False, description="how it is written")
    database_key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        default=None, description="the key of the database: its owner can read all secrets then"
    )


class BackupRequest(_Request):
    """The wish that another CAS can open the database of this one."""

    address: Annotated[str, Field(min_length=1, max_length=300, description="HOST or HOST:PORT")]
    mrenclaves: list[_HashText] = Field(default=[], max_length=64, description="what it may be; else what this CAS is")
    cas_key_hash: Annotated[str, Field(max_length=64)] | None = Field(default=None, description="who it has to be")
    machines: Annotated[str, Field(max_length=1 << 20)] | None = Field(
        default=None, description="what its machine may be: rules in YAML; else what the machine of this CAS booted"
    )
    tolerate: list[Annotated[str, Field(max_length=64)]] = Field(
        default=[], max_length=64, description="weaknesses of its platform, beside those of this CAS"
    )


class RegisteredBackup(BaseModel):
    """A CAS that can open the database from now on."""

    slot: str
    cas_key_hash: str
    cas_software_key_hash: str
    mrenclave: str


class BackupKeyRequest(_Request):
    """The wish of a CAS to be taken over by another one, with evidence for itself."""

    attestation: dict[str, Any]
    upgrade: bool = Field(default=False, description="whether the two may be different software")


class RecoveryKey(BaseModel):
    """What the keys of another CAS have to be encrypted for (X25519)."""

    recovery_key: str


class OwnerStatus(BaseModel):
    """Whether a CAS has an owner."""

    cas_key_hash: str
    provisioned: bool
    provisioning_required: bool
    owner_secret_access: bool


class Replica(BaseModel):
    """What a replica has seen of the database."""

    changes: int


class Health(BaseModel):
    """How the CAS is."""

    status: str


class Tag(BaseModel):
    """The state that a protection file is in now."""

    tag: _TagText


class Nonce(BaseModel):
    """What evidence has to be bound to; good for one attestation on this connection."""

    nonce: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class AttestRequest(_Request):
    """The wish to be a service of a session, and the evidence for it.

    ``access_proof`` shows that the start knows the service access token, on this connection; ``resumption`` is what an
    earlier attestation of the same start got, for its one-time password or as a singleton.
    """

    session: _NameText
    service: _NameText
    evidence: dict[str, Any]
    access_proof: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    one_time_password: Annotated[str, Field(pattern="^[0-9]{6}$")] | None = None
    resumption: Annotated[str, Field(pattern="^[0-9a-f]{96}$")] | None = None


class SecretsRequest(_Request):
    """Placeholders that files of the image have, each as it stands between ``$$SCONE::`` and ``$$``."""

    placeholders: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=1000)]


class SecretTexts(BaseModel):
    """What stands for each placeholder, in base64."""

    values: dict[str, str]


class TokenWish(_Request):
    """The wish for a token of an attested service: whom it is for, and what it is to name."""

    audience: Annotated[str, Field(pattern=r"^[^\s\x00-\x20\x7f-\x9f]+$", max_length=1024)]
    lifetime: Annotated[int, Field(ge=60, le=86400, description="seconds")] = 3600
    nonce: Annotated[str, Field(pattern="^[A-Za-z0-9+/_=-]{8,88}$", description="of the relying party")] | None = None
    key: Annotated[str, Field(max_length=1024, description="SubjectPublicKeyInfo, DER in base64")] | None = None
    proof: Annotated[str, Field(max_length=1024, description="signature by the key, base64")] | None = None

    @model_validator(mode="after")
    def _proven(self) -> Self:
        if (self.key is None) != (self.proof is None):
            raise ValueError("key and proof go together")
        return self


class Token(BaseModel):
    """A JWT (docs/relying-parties.md), and for how many seconds it holds."""

    token: str
    expires_in: int


class CommitRequest(_Request):
    """A step of a protection file from one state (null: not initialised) to the next."""

    expected: _TagText | None
    tag: _TagText


class VolumeStep(CommitRequest):
    """A step of one volume."""

    volume: Annotated[str, Field(max_length=1024)]


class CommitsRequest(_Request):
    """Steps of volumes, in their order; all are taken, or none."""

    commits: Annotated[list[VolumeStep], Field(min_length=1, max_length=COMMITS_MAX)]


class Tags(BaseModel):
    """The states that volumes are in now, by their names."""

    tags: dict[str, _TagText]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route, in addition to those that every route may have."""
    return {status: {"model": Problem} for status in sorted({*statuses, 500, 503})}


def describe_problems(app: FastAPI) -> dict[str, Any]:
    """Give the OpenAPI document of an application, with the problems that it really answers with.

    FastAPI describes malformed requests in a shape of its own, which no client of ours ever sees, and problems under
    the media type of successes.
    """
    document = type(app).openapi(app)
    for schema in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(schema, None)
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        operation["responses"].pop("422", None)
        for status, response in operation["responses"].items():
            if status >= "4":
                response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
    return document
