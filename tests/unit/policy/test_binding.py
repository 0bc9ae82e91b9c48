"""Binding: what secrets may stand for, and what they cannot bring in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import InputError, NotFoundError, render
from bannock.policy import parse_session, session_hash
from bannock.policy.binding import bind_session
from bannock.policy.rules import Keyword, SecretRule
from bannock.policy.session import AttestationMode, AttestationVariant, Section, SignerRule, Toleration
from bannock.values import KeyHash, Measurement
from tests.unit.policy.documents import MEASUREMENT, OTHER_MEASUREMENT, SIGNER, parse

if TYPE_CHECKING:
    from bannock.policy.canonical import JsonValue
    from bannock.policy.session import Session
    from bannock.policy.template import Placeholder

_FIRST: Final = Measurement.from_hex(MEASUREMENT)
_OTHER: Final = Measurement.from_hex(OTHER_MEASUREMENT)
_KEY: Final = "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"


def _bind(session: Session, *sections: Section, **values: JsonValue) -> Session:
    def value(placeholder: Placeholder) -> JsonValue:
        if placeholder.name not in values:
            raise NotFoundError(f"there is no secret {placeholder.name}")
        return values[placeholder.name]

    return bind_session(session, value, sections=sections or None)


def _imported(*names: str) -> str:
    return f"secrets: [{', '.join(f'{{name: {name}, import: {{session: b}}}}' for name in names)}]\n"


def test_a_session_without_secrets_in_its_sections_is_bound_already() -> None:
    """Nothing is asked for."""
    session = parse()
    assert session.unbound == frozenset()
    assert _bind(session) is session


def test_the_example_of_the_reference() -> None:
    """Lists are combined, structures and text take the place of what stands for them."""
    session = parse(
        attestation=f"""attestation:
  - mrenclave: [{MEASUREMENT}, $$SCONE::list$$]
    signer: {{mrsigner: {SIGNER}, isvprodid: $$SCONE::product$$}}
  - $$SCONE::part$$""",
        rest=_imported("list", "product", "part"),
    )
    assert session.unbound == {Section.ATTESTATION}
    assert session.services[0].attestation == ()
    bound = _bind(
        session,
        list=[OTHER_MEASUREMENT, MEASUREMENT],
        product="6",
        part={"signer": {"mrsigner": SIGNER, "isvprodid": "213", "isvsvn_min": "13"}},
    )
    signer = Measurement.from_hex(SIGNER)
    assert bound.services[0].attestation == (
        AttestationVariant(measurements=(_FIRST, _OTHER, _FIRST), signer=SignerRule(signer=signer, product_id=6)),
        AttestationVariant(signer=SignerRule(signer=signer, product_id=213, svn_min=13)),
    )
    assert bound.unbound == frozenset()
    assert session_hash(bound) == session_hash(session)


@pytest.mark.parametrize(
    ("attestation", "value"),
    [
        ("attestation: $$SCONE::x$$", [{"mrenclave": MEASUREMENT}]),
        ("attestation: $$SCONE::x$$", {"mrenclave": [MEASUREMENT]}),
        ("attestation: [$$SCONE::x$$]", [{"mrenclave": MEASUREMENT}]),
        ("attestation: {mrenclave: $$SCONE::x$$}", MEASUREMENT),
        ("attestation: {mrenclave: [$$SCONE::x$$]}", MEASUREMENT),
        ("mrenclaves: [$$SCONE::x$$]", [MEASUREMENT]),
        ("mrenclaves: $$SCONE::x$$", [MEASUREMENT]),
    ],
)
def test_every_place_of_attestation(attestation: str, value: JsonValue) -> None:
    """A secret may be all of it, one way, or one measurement."""
    bound = _bind(parse(attestation=attestation, rest=_imported("x")), x=value)
    assert bound.services[0].attestation == (AttestationVariant(measurements=(_FIRST,)),)


def test_security_and_platforms() -> None:
    """An administrator's session may say how far this one trusts platforms, in whole or in part."""
    session = parse(
        service=f"platforms: [{SIGNER}, $$SCONE::machines$$]",
        rest=_imported("machines", "central", "single")
        + "security: {attestation: $$SCONE::central$$, singleton_enclaves: $$SCONE::single$$}",
    )
    assert session.unbound == {Section.PLATFORMS, Section.SECURITY}
    assert session.security.tolerated == frozenset()
    bound = _bind(
        session, machines=[MEASUREMENT.upper()], central={"tolerate": ["debug-mode", "simulation"]}, single=True
    )
    assert bound.services[0].platforms == (SIGNER, MEASUREMENT)
    assert bound.security.tolerated == {Toleration.DEBUG_MODE, Toleration.SIMULATION}
    assert bound.security.singleton_enclaves


def test_a_session_that_may_trust_everybody_says_no_measurement() -> None:
    """Only when it is bound is it known whether one is needed."""
    text = 'name: a\nversion: "0.3.10"\nservices: [{name: s, command: run}]\nsecurity: $$SCONE::x$$\n' + _imported("x")
    session = parse_session(text)
    assert session.security.mode is AttestationMode.HARDWARE
    assert _bind(session, x={"attestation": {"mode": "none"}}).security.mode is AttestationMode.NONE
    with pytest.raises(InputError) as caught:
        _bind(session, x={"attestation": {"mode": "hardware"}})
    assert "attestation is missing" in "\n".join(caught.value.reasons)


def test_sections_can_be_bound_one_by_one() -> None:
    """Whoever decides on access needs nothing of what enclaves are decided by."""
    session = parse(
        attestation="attestation: $$SCONE::missing$$",
        rest=_imported("missing", "who") + "access_policy: {read: $$SCONE::who$$}",
    )
    bound = _bind(session, Section.ACCESS_POLICY, who=["CREATOR", _KEY])
    assert bound.access_policy.read == (Keyword.CREATOR, KeyHash.from_base58(_KEY))
    assert bound.unbound == {Section.ATTESTATION}
    assert bound.services[0].attestation == ()


@pytest.mark.parametrize(
    ("policy", "values", "read", "update"),
    [
        ("$$SCONE::x$$", {"x": {"read": ["ANY"]}}, (Keyword.ANY,), (Keyword.CREATOR,)),
        ("{read: $$SCONE::x$$}", {"x": "CREATOR"}, (Keyword.CREATOR,), (Keyword.CREATOR,)),
        ("{read: $$SCONE::x$$}", {"x": ["NONE"]}, (Keyword.NONE,), (Keyword.CREATOR,)),
        # What cannot be had or names nobody lets nobody in, and all others are as if it were not there.
        ("$$SCONE::x$$", {}, (SecretRule("x"),), (SecretRule("x"),)),
        ("$$SCONE::x$$", {"x": {"raed": "ANY"}}, (SecretRule("x"),), (SecretRule("x"),)),
        ("{read: $$SCONE::x$$, update: [$$SCONE::y$$]}", {"x": ["CREATOR"]}, (Keyword.CREATOR,), (SecretRule("y"),)),
        ("{read: $$SCONE::x$$}", {"x": ["CREATOR", "somebody"]}, (SecretRule("x"),), (Keyword.CREATOR,)),
        ("{read: $$SCONE::x$$}", {"x": ["$$SCONE::y$$"]}, (SecretRule("x"),), (Keyword.CREATOR,)),
        ("{read: [CREATOR, $$SCONE::x$$]}", {"x": ["ANY"]}, (Keyword.CREATOR, SecretRule("x")), (Keyword.CREATOR,)),
    ],
)
def test_access_policies(
    policy: str, values: dict[str, JsonValue], read: tuple[object, ...], update: tuple[object, ...]
) -> None:
    """An access policy is bound as far as it can be, and never opens by an accident."""
    secrets = "secrets: [{name: x, kind: config-fragment, import: b}, {name: y, import: b}]\n"
    bound = _bind(parse(rest=f"{secrets}access_policy: {policy}"), **values)
    assert (bound.access_policy.read, bound.access_policy.update) == (read, update)
    assert bound.unbound == frozenset()


CANARY: Final = "canary7f3a9"


@pytest.mark.parametrize(
    ("attestation", "value", "message"),
    [
        ("{mrenclave: $$SCONE::x$$}", CANARY, "services[0].attestation.mrenclave (secret 'x'): expected 64"),
        ("[$$SCONE::x$$]", {CANARY: "1"}, "services[0].attestation[0] (secret 'x'): unknown key"),
        ("[$$SCONE::x$$]", [{"mrenclave": MEASUREMENT}, {"mrenclave": CANARY}], "attestation[1] (secret 'x'): exp"),
        ("[$$SCONE::x$$]", [], "at least one entry"),
        ("{mrenclave: $$SCONE::x$$}", "$$SCONE::y$$", "holds a placeholder itself"),
        ("{mrenclave: $$SCONE::x$$}", [MEASUREMENT] * 70_000, "more than 65536"),
    ],
)
def test_what_cannot_stand_is_refused_with_place_and_secret(attestation: str, value: JsonValue, message: str) -> None:
    """The whole language is checked again, and no message repeats a value."""
    session = parse(attestation=f"attestation: {attestation}", rest=_imported("x"))
    with pytest.raises(InputError) as caught:
        _bind(session, x=value)
    told = "\n".join(render(caught.value))
    assert message in told
    assert CANARY not in told


def test_values_of_others_are_bounded_in_depth() -> None:
    """Another CAS may send anything."""
    value: JsonValue = "x"
    for _ in range(500):
        value = [value]
    session = parse(attestation="attestation: $$SCONE::x$$", rest=_imported("x"))
    with pytest.raises(InputError) as caught:
        _bind(session, x=value)
    assert "nests deeper than 40" in "\n".join(render(caught.value))


def test_a_secret_that_cannot_be_had_is_named() -> None:
    """With the place where it is needed, and the reason."""
    session = parse(attestation="attestation: $$SCONE::x$$", rest=_imported("x"))
    with pytest.raises(InputError, match=r"lacks secret 'x', which stands in services\[0\].attestation") as caught:
        _bind(session)
    assert "there is no secret x" in caught.value.reasons[0]
