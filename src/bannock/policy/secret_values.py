"""Secret values: what a session's secrets and volume keys are, made once and kept over updates.

Pure; randomness comes in as a function. The JSON form is for a store that seals it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import Bug, InputError, IntegrityError
from bannock.policy.canonical import JsonValue, canonical_json
from bannock.policy.secret_specs import ExplicitValue, GeneratedValue
from bannock.policy.session import GeneratedKey
from bannock.policy.template import SecretKind
from bannock.values import FSPF_KEY_BYTES, FspfKey, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.policy.secret_specs import SecretSpec
    from bannock.policy.session import Session

__all__ = ["SecretValue", "SecretValues", "generate_secrets", "public_values"]

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
    """One value; ``generated`` says that CAS made it, so that an update keeps it."""

    kind: SecretKind
    value: Secret
    generated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretValues:
    """The values of a session by secret name, and the generated keys of its volumes by volume name."""

    secrets: Mapping[str, SecretValue] = field(default_factory=dict)
    volume_keys: Mapping[str, FspfKey] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Serialise; the result is secret."""
        secrets: dict[str, JsonValue] = {
            name: {"kind": str(one.kind), "value": one.value.reveal().hex(), "generated": one.generated}
            for name, one in self.secrets.items()
        }
        keys: dict[str, JsonValue] = {name: key.reveal_hex() for name, key in self.volume_keys.items()}
        return canonical_json({"format": FORMAT, "secrets": secrets, "volume_keys": keys})

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
                    )
                    for name, one in document["secrets"].items()
                },
                volume_keys={name: FspfKey.from_hex(key) for name, key in document["volume_keys"].items()},
            )
            exact = values.to_json() == data
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
            exact = False
        if not exact:
            raise IntegrityError(f"stored secret values are not in the form {FORMAT}")
        return values


def generate_secrets(session: Session, previous: SecretValues | None, random: Callable[[int], bytes]) -> SecretValues:
    """Make the values that a session needs.

    A value that was generated for the predecessor is kept where the new session defines a secret of the same name,
    kind and size; a volume key that was generated is kept as long as the volume asks for one. All else is made anew.

    Args:
        session: whose secrets are made.
        previous: the values of its predecessor, None where there is none.
        random: gives as many unpredictable bytes as it is asked for.
    """
    before = previous or SecretValues()
    return SecretValues(
        secrets={spec.name: _value(spec, before.secrets.get(spec.name), random) for spec in session.secrets},
        volume_keys={
            volume.name: before.volume_keys.get(volume.name) or FspfKey(random(FSPF_KEY_BYTES))
            for volume in session.volumes
            if isinstance(volume.key, GeneratedKey)
        },
    )


def public_values(session: Session, values: SecretValues) -> dict[str, str]:
    """Give the values that the session makes readable to everybody; binary ones in hexadecimal."""
    return {
        spec.name: _shown(values.secrets[spec.name])
        for spec in session.secrets
        if spec.export_public and spec.name in values.secrets
    }


def _shown(one: SecretValue) -> str:
    match one.kind:
        case SecretKind.ASCII:
            return one.value.reveal().decode("utf-8")
        case SecretKind.BINARY:
            return one.value.reveal().hex()
        case _:
            raise Bug(f"there are no values of kind {one.kind} yet")


def _value(spec: SecretSpec, before: SecretValue | None, random: Callable[[int], bytes]) -> SecretValue:
    if spec.kind is None:
        raise Bug("there are no such values yet")
    match spec.source:
        case ExplicitValue(value=value):
            return SecretValue(kind=spec.kind, value=value, generated=False)
        case GeneratedValue(size=size):
            if (
                before is not None
                and before.generated
                and before.kind is spec.kind
                and len(before.value.reveal()) == size
            ):
                return before
            return SecretValue(kind=spec.kind, value=Secret(_generate(spec.kind, size, random)), generated=True)
        case _:
            raise Bug("there are no such values yet")


def _generate(kind: SecretKind, size: int, random: Callable[[int], bytes]) -> bytes:
    match kind:
        case SecretKind.BINARY:
            return random(size)
        case SecretKind.ASCII:
            return _printable(size, random)
        case _:
            raise Bug(f"there are no values of kind {kind} yet")


def _printable(size: int, random: Callable[[int], bytes]) -> bytes:
    characters = bytearray()
    for _ in range(_ROUNDS_MAX):
        characters += bytes(
            _FIRST_PRINTABLE + byte % _PRINTABLES for byte in random(2 * size) if byte < _REJECTED_FROM
        )
        if len(characters) >= size:
            return bytes(characters[:size])
    raise Bug("the source of randomness gives no usable bytes")
