"""Secret values: made, kept over updates, stored and published."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import Bug, IntegrityError
from bannock.policy import SecretValues, generate_secrets, public_values
from bannock.policy.secret_values import SecretValue
from bannock.policy.template import SecretKind
from bannock.values import FspfKey, Secret
from tests.unit.policy.documents import KEY, NOW, TAG, parse

if TYPE_CHECKING:
    from collections.abc import Callable


def _random(seed: str) -> Callable[[int], bytes]:
    """A source that gives other bytes at every call, and the same ones for the same seed."""
    calls = itertools.count()

    def source(size: int) -> bytes:
        return hashlib.shake_256(f"{seed} {next(calls)}".encode()).digest(size)

    return source


def _made(secrets: str, previous: SecretValues | None = None, volumes: str = "") -> SecretValues:
    session = parse(rest=f"secrets: [{secrets}]\nvolumes: [{volumes}]")
    return generate_secrets(session, previous, _random("second" if previous else "first"), now=NOW)


def _bytes(values: SecretValues, name: str) -> bytes:
    return values.secrets[name].value.reveal()


@given(st.integers(1, 300), st.text())
def test_generated_ascii_secrets_are_printable(size: int, seed: str) -> None:
    """As many characters as asked for, each of them printable ASCII and no space."""
    session = parse(rest=f"secrets: [{{name: s, kind: ascii, size: {size}}}]")
    value = _bytes(generate_secrets(session, None, _random(seed), now=NOW), "s")
    assert len(value) == size
    assert all(0x21 <= byte <= 0x7E for byte in value)


def test_every_printable_character_occurs_equally_often() -> None:
    """Bytes that would favour some characters are thrown away: each of the 94 comes from exactly two of 256."""
    session = parse(rest="secrets: [{name: s, kind: ascii, size: 188}]")
    value = _bytes(generate_secrets(session, None, lambda size: (bytes(range(256)) * 2)[:size], now=NOW), "s")
    assert {value.count(character) for character in range(0x21, 0x7F)} == {2}


def test_a_broken_source_of_randomness_is_found_out() -> None:
    """A source that gives nothing usable ends in an error, not in an endless loop."""
    session = parse(rest="secrets: [{name: s, kind: ascii}]")
    with pytest.raises(Bug):
        generate_secrets(session, None, lambda size: b"\xff" * size, now=NOW)


def test_binary_secrets_and_explicit_values() -> None:
    """Binary secrets have the size asked for, explicit ones are what the document says."""
    values = _made(
        "{name: b, kind: binary}, {name: e, kind: ascii, value: given}, {name: x, kind: binary, value: 00ff}"
    )
    assert len(_bytes(values, "b")) == 20
    assert (_bytes(values, "e"), _bytes(values, "x")) == (b"given", b"\x00\xff")
    assert [values.secrets[name].generated for name in "bex"] == [True, False, False]


def test_generated_values_are_kept_over_an_update() -> None:
    """The same name, kind and size keep their value."""
    written = "{name: a, kind: ascii}, {name: b, kind: binary, size: 8}"
    before = _made(written)
    assert _made(written, before).secrets == before.secrets


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{name: s, kind: ascii, size: 12}", "{name: s, kind: ascii, size: 13}"),
        ("{name: s, kind: ascii, size: 12}", "{name: s, kind: binary, size: 12}"),
        ("{name: s, kind: ascii, value: twelve-chars}", "{name: s, kind: ascii, size: 12}"),
        ("{name: t, kind: ascii, size: 12}", "{name: s, kind: ascii, size: 12}"),
    ],
)
def test_other_values_are_made_anew(old: str, new: str) -> None:
    """Another size or kind asks for a new value, and a value that somebody wrote down is not kept as generated."""
    before = _made(old)
    after = _made(new, before)
    assert _bytes(after, "s") not in {one.value.reveal() for one in before.secrets.values()}


def test_volume_keys_are_made_once() -> None:
    """A volume without a key gets one and keeps it over updates; one with a key in the document gets none."""
    volumes = f"{{name: v}}, {{name: w, fspf_key: {KEY}, fspf_tag: {TAG}}}"
    before = _made("", volumes=volumes)
    assert set(before.volume_keys) == {"v"}
    assert _made("", before, volumes).volume_keys == before.volume_keys


def test_public_values() -> None:
    """Only what the session exports to everybody is given, binary values in hexadecimal."""
    rest = """
    secrets:
      - {name: a, kind: ascii, value: shown, export_public: true}
      - {name: b, kind: binary, value: 00FF, export_public: true}
      - {name: c, kind: ascii, value: hidden}
    """
    session = parse(rest=rest)
    assert public_values(session, generate_secrets(session, None, _random(""), now=NOW)) == {"a": "shown", "b": "00ff"}


_VALUES: Final = SecretValues(
    secrets={"s": SecretValue(kind=SecretKind.ASCII, value=Secret(b"canary"), generated=True)},
    volume_keys={"v": FspfKey(bytes(32))},
)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8")),
        st.builds(
            SecretValue, kind=st.sampled_from(SecretKind), value=st.binary().map(Secret), generated=st.booleans()
        ),
    ),
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.binary(min_size=32, max_size=32).map(FspfKey)),
)
def test_json_keeps_everything(secrets: dict[str, SecretValue], keys: dict[str, FspfKey]) -> None:
    """What is stored is read again."""
    values = SecretValues(secrets=secrets, volume_keys=keys)
    assert SecretValues.from_json(values.to_json()) == values


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        _VALUES.to_json() + b" ",
        _VALUES.to_json().replace(b"-1", b"-2"),
        _VALUES.to_json().replace(b"ascii", b"other"),
        _VALUES.to_json().replace(b"true", b"1"),
        _VALUES.to_json().replace(b'"s":', b'"s":null,"s":'),
        _VALUES.to_json().replace(b"63616e", b"63616E"),
        _VALUES.to_json().replace(b"0000", b"00", 1),
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    """Only the exact form that was written is read; what it says instead is not repeated."""
    with pytest.raises(IntegrityError) as caught:
        SecretValues.from_json(data)
    assert "canary" not in str(caught.value)


def test_repr_shows_no_secret() -> None:
    """Values stay out of logs."""
    assert "canary" not in repr(_VALUES)
    assert "63616e" not in repr(_VALUES)
