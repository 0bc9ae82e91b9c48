"""Secret values: what a session's secrets and volume keys are, made once and kept over updates.

Pure; time and randomness come in. Certificates are made apart from the rest (:mod:`bannock.policy.certification`),
because what they are made of may be another session's. The JSON form is for a store that seals it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, Self, assert_never

from bannock.errors import BannockError, Bug, InputError, IntegrityError
from bannock.policy.canonical import JsonValue, canonical_json
from bannock.policy.certificates import CertificateBundle
from bannock.policy.parked import ParkedValue
from bannock.policy.pgp import armored_public, make_pgp_key
from bannock.policy.private_keys import key_type_of, make_private_key, private_key_der, read_private_key
from bannock.policy.secret_specs import (
    AadToken,
    ExplicitCertificate,
    ExplicitValue,
    FragmentValue,
    GeneratedCertificate,
    GeneratedPgpKey,
    GeneratedPrivateKey,
    GeneratedValue,
    ImportedValue,
    SessionCertificate,
    VaultValue,
)
from bannock.policy.session import GeneratedKey
from bannock.policy.template import FORMATS, SecretKind
from bannock.values import FSPF_KEY_BYTES, FspfKey, Secret

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from bannock.policy.secret_specs import SecretSpec
    from bannock.policy.session import Session
    from bannock.policy.template import Placeholder

__all__ = [
    "SecretValue",
    "SecretValues",
    "explicit_value",
    "generate_secrets",
    "public_values",
    "require_value",
    "shown",
]

FORMAT: Final = "bannock-secret-values-1"

#: Printable ASCII without the space, which programs and shells would split at: "!" to "~".
_FIRST_PRINTABLE: Final = 0x21
_PRINTABLES: Final = 94
#: Bytes from here on are thrown away: 256 is no multiple of 94, and every character has to be equally likely.
_REJECTED_FROM: Final = 256 - 256 % _PRINTABLES
#: Two thirds of all bytes are kept, so that not even a thousand characters need this many rounds.
_ROUNDS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretValue:
    """One value.

    Attributes:
        value: bytes of a binary secret, text of an ascii secret or token, PKCS #8 (DER) of a private key, a bundle in
            PEM of a certificate, a transferable secret key of OpenPGP, canonical JSON of a fragment.
        generated: CAS made it, so an update may keep it.
        migrates: of a private key: its session says that an update may keep it.
    """

    kind: SecretKind
    value: Secret
    generated: bool
    migrates: bool = False


class Values(Protocol):
    """Values by the names of secrets; one that cannot be had is an error."""

    def find(self, name: str) -> SecretValue:
        """Give the value of a secret."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretValues:
    """What a session has of its own.

    Attributes:
        secrets: by name; none of what is imported or fetched.
        volume_keys: the generated keys of its volumes, by volume name.
        authority: the certificate (with its key) that signs the others in language versions before 0.3.
        parked: what is kept elsewhere, by entry (:mod:`bannock.cas.parking`); it is not among the others then.
    """

    secrets: Mapping[str, SecretValue] = field(default_factory=dict)
    volume_keys: Mapping[str, FspfKey] = field(default_factory=dict)
    authority: Secret | None = None
    parked: Mapping[str, ParkedValue] = field(default_factory=dict)

    def find(self, name: str) -> SecretValue:
        """Give the value of a secret that the session defines."""
        if name not in self.secrets:
            raise Bug(f"secret {name!r} has no value, although its session defines it")
        return self.secrets[name]

    def render(self, placeholder: Placeholder) -> bytes:
        """Give what stands for a placeholder."""
        meant = placeholder.within(self.secrets)
        found = self.find(meant.name)
        return meant.render(found.kind, found.value)

    def volume(self, name: str) -> None:
        """Nothing here is imported."""

    def volume_key(self, name: str) -> FspfKey:
        """Give the generated key of a volume."""
        if name not in self.volume_keys:
            raise Bug(f"volume {name!r} has no key, although its session asks for one")
        return self.volume_keys[name]

    def to_json(self) -> bytes:
        """Serialise; the result is secret."""
        secrets: dict[str, JsonValue] = {name: _stored(one) for name, one in self.secrets.items()}
        keys: dict[str, JsonValue] = {name: key.reveal_hex() for name, key in self.volume_keys.items()}
        document: dict[str, JsonValue] = {"format": FORMAT, "secrets": secrets, "volume_keys": keys}
        if self.authority is not None:
            document["authority"] = self.authority.reveal().hex()
        if self.parked:
            document["parked"] = {entry: one.to_json() for entry, one in self.parked.items()}
        return canonical_json(document)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse exactly what :meth:`to_json` gives.

        Raises:
            IntegrityError: it is anything else; the message repeats no value.
        """
        try:
            document = json.loads(data)
            values = cls(
                secrets={
                    name: SecretValue(
                        kind=SecretKind(one["kind"]),
                        value=Secret(bytes.fromhex(one["value"])),
                        generated=one["generated"] is True,
                        migrates=one.get("migrates") is True,
                    )
                    for name, one in document["secrets"].items()
                },
                volume_keys={name: FspfKey.from_hex(key) for name, key in document["volume_keys"].items()},
                authority=Secret(bytes.fromhex(document["authority"])) if "authority" in document else None,
                parked={entry: ParkedValue.from_json(entry, one) for entry, one in document.get("parked", {}).items()},
            )
            exact = values.to_json() == data
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
            exact = False
        if not exact:
            raise IntegrityError(f"stored secret values are not in the form {FORMAT}")
        return values


def generate_secrets(
    session: Session, previous: SecretValues | None, random: Callable[[int], bytes], *, now: dt.datetime
) -> SecretValues:
    """Make the values that a session needs, but for its certificates.

    A value that was generated for the predecessor is kept where the new session defines a secret of the same name and
    kind (and size or key type); a private key only where both versions say so, a certificate never. A volume key that
    was generated is kept as long as the volume asks for one. All else is made anew.

    Args:
        session: whose secrets are made.
        previous: the values of its predecessor, None where there is none.
        random: gives as many unpredictable bytes as it is asked for.
        now: when keys that carry a date were made.

    Raises:
        InputError: an explicit value is not what its kind asks for.
    """
    before = previous or SecretValues()
    made = {spec.name: _value(spec, before.secrets.get(spec.name), random, now) for spec in session.secrets}
    return SecretValues(
        secrets={name: value for name, value in made.items() if value is not None},
        volume_keys={
            volume.name: before.volume_keys.get(volume.name) or FspfKey(random(FSPF_KEY_BYTES))
            for volume in session.volumes
            if isinstance(volume.key, GeneratedKey)
        },
        authority=before.authority,
    )


def public_values(session: Session, values: Values) -> dict[str, str]:
    """Give the values that the session makes readable to everybody, as far as they can be had; see :func:`shown`."""
    found: dict[str, str] = {}
    for spec in session.secrets:
        if spec.export_public:
            with contextlib.suppress(BannockError):
                found[spec.name] = shown(values.find(spec.name))
    return found


def shown(one: SecretValue) -> str:
    """Give a value that is for everybody: of certificates and OpenPGP keys the public part, of bytes hexadecimal."""
    value = one.value.reveal()
    match one.kind:
        case SecretKind.BINARY:
            return value.hex()
        case SecretKind.X509 | SecretKind.X509_CA | SecretKind.SESSION_CA:
            return CertificateBundle.from_pem(value).certificate_pem.decode("ascii")
        case SecretKind.PGP_KEY:
            return armored_public(value).decode("ascii")
        case SecretKind.ASCII | SecretKind.PRIVATE_KEY | SecretKind.CONFIG_FRAGMENT | SecretKind.AAD_TOKEN:
            return FORMATS[one.kind][""](value).decode("utf-8")
        case _:
            assert_never(one.kind)


def explicit_value(kind: SecretKind, value: Secret) -> SecretValue:
    """Take a value that was given for a secret.

    Raises:
        InputError: it is not what the kind asks for.
    """
    match kind:
        case SecretKind.PRIVATE_KEY:
            value = private_key_der(read_private_key(value.reveal()))
        case SecretKind.X509 | SecretKind.X509_CA | SecretKind.SESSION_CA:
            value = Secret(CertificateBundle.from_pem(value.reveal(), known=False).to_pem())
        case SecretKind.ASCII | SecretKind.BINARY | SecretKind.CONFIG_FRAGMENT | SecretKind.AAD_TOKEN:
            pass
        case SecretKind.PGP_KEY:
            raise InputError("OpenPGP keys cannot be given, only generated")
        case _:
            assert_never(kind)
    return SecretValue(kind=kind, value=value, generated=False)


def require_value(one: SecretValue) -> None:
    """Accept a value that somebody else says is of its kind.

    Raises:
        InputError: it is not; the value is not repeated.
    """
    value = one.value.reveal()
    try:
        match one.kind:
            case SecretKind.PRIVATE_KEY:
                read_private_key(value)
            case SecretKind.X509 | SecretKind.X509_CA | SecretKind.SESSION_CA:
                CertificateBundle.from_pem(value, known=False)
            case SecretKind.CONFIG_FRAGMENT:
                json.loads(value)
            case SecretKind.PGP_KEY:
                armored_public(value)
            case SecretKind.ASCII | SecretKind.AAD_TOKEN:
                value.decode("utf-8")
            case SecretKind.BINARY:
                pass
            case _:
                assert_never(one.kind)
    except (ValueError, RecursionError, IntegrityError):
        raise InputError(f"a value is not what a secret of kind {one.kind} is") from None


def _value(
    spec: SecretSpec, before: SecretValue | None, random: Callable[[int], bytes], now: dt.datetime
) -> SecretValue | None:
    """Make or keep a value; None where there is none yet, or another has it."""
    kept = before if before is not None and before.generated and before.kind is spec.kind else None
    match spec.source:
        case ExplicitValue(value=value) | ExplicitCertificate(value=value):
            found = _explicit(spec, value)
        case FragmentValue(value=structure):
            fragment = Secret(canonical_json(structure))
            found = SecretValue(kind=SecretKind.CONFIG_FRAGMENT, value=fragment, generated=False)
        case GeneratedValue(size=size) if kept is not None and len(kept.value.reveal()) == size:
            found = kept
        case GeneratedValue(size=size):
            kind = spec.kind or SecretKind.ASCII
            found = SecretValue(kind=kind, value=Secret(_generate(kind, size, random)), generated=True)
        case GeneratedPrivateKey() as asked:
            found = _private_key(asked, kept, random)
        case GeneratedPgpKey():
            key = Secret(make_pgp_key(random, now)) if kept is None else kept.value
            found = SecretValue(kind=SecretKind.PGP_KEY, value=key, generated=True)
        case GeneratedCertificate() | SessionCertificate() | AadToken() | ImportedValue() | VaultValue():
            return None
        case _:
            assert_never(spec.source)
    return found


def _explicit(spec: SecretSpec, value: Secret) -> SecretValue:
    try:
        return explicit_value(spec.kind or SecretKind.ASCII, value)
    except InputError as error:
        raise InputError(
            f"the value of secret {spec.name} cannot be used: {error.message}", hint=error.hint
        ) from error


def _private_key(
    asked: GeneratedPrivateKey, before: SecretValue | None, random: Callable[[int], bytes]
) -> SecretValue:
    if (
        asked.migrate
        and before is not None
        and before.migrates
        and key_type_of(read_private_key(before.value.reveal(), known=True)) is asked.key_type
    ):
        return before
    key = private_key_der(make_private_key(asked.key_type, random))
    return SecretValue(kind=SecretKind.PRIVATE_KEY, value=key, generated=True, migrates=asked.migrate)


def _generate(kind: SecretKind, size: int, random: Callable[[int], bytes]) -> bytes:
    match kind:
        case SecretKind.BINARY:
            return random(size)
        case SecretKind.ASCII:
            return _printable(size, random)
        case _:
            raise Bug(f"values of kind {kind} have no size")


def _stored(one: SecretValue) -> dict[str, JsonValue]:
    stored: dict[str, JsonValue] = {
        "kind": str(one.kind),
        "value": one.value.reveal().hex(),
        "generated": one.generated,
    }
    if one.migrates:
        stored["migrates"] = True
    return stored


def _printable(size: int, random: Callable[[int], bytes]) -> bytes:
    characters = bytearray()
    for _ in range(_ROUNDS_MAX):
        characters += bytes(
            _FIRST_PRINTABLE + byte % _PRINTABLES for byte in random(2 * size) if byte < _REJECTED_FROM
        )
        if len(characters) >= size:
            return bytes(characters[:size])
    raise Bug("the source of randomness gives no usable bytes")
