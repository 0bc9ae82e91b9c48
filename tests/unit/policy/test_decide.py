"""Decisions on enclaves and clients: every one of them, with its reasons."""

from __future__ import annotations

import dataclasses
from typing import Final

import pytest

from bannock.errors import BannockError, DeniedError, InputError, NotFoundError
from bannock.policy import Claims, Operation, Session, decide_access, decide_enclave
from bannock.values import KeyHash, Measurement
from tests.unit.policy.documents import MEASUREMENT, OTHER_MEASUREMENT, SIGNER, parse

WRONG: Final = "0e62020589972fba3ae70225cf6cd958897bbdd5eee878c5badf5928d95cfaae"

CLAIMS: Final = Claims(
    platform="sgx",
    measurement=Measurement.from_hex(MEASUREMENT),
    signer=Measurement.from_hex(SIGNER),
    product_id=6,
    svn=4,
    debug=False,
)
_CHANGED: Final = dataclasses.replace(CLAIMS, measurement=Measurement.from_hex(WRONG))


def _session(attestation: str = "", tolerate: str = "", mode: str = "hardware") -> Session:
    return parse(
        attestation=attestation or f"mrenclaves: [{MEASUREMENT}]",
        rest=f"security: {{attestation: {{mode: {mode}, tolerate: [{tolerate}]}}}}",
    )


def _reasons(session: Session, claims: Claims) -> tuple[str, ...]:
    with pytest.raises(DeniedError, match="The program enclave is not trustworthy") as caught:
        decide_enclave(session, "main", claims)
    return caught.value.reasons


def _signed(rule: str) -> str:
    return f"attestation: {{signer: {{mrsigner: {SIGNER}, {rule}}}}}"


@pytest.mark.parametrize(
    "attestation",
    [
        f"mrenclaves: [{MEASUREMENT}]",
        f"mrenclaves: [{OTHER_MEASUREMENT}, {MEASUREMENT}]",
        _signed("isvprodid: 6"),
        _signed("isvprodid: 6, isvsvn: 4"),
        _signed("isvprodid: 6, isvsvn_min: 4"),
        _signed("isvprodid: 6, isvsvn_max: 4"),
        _signed("isvprodid: 6, isvsvn_min: 0, isvsvn_max: 9"),
        f"attestation: {{mrenclave: {MEASUREMENT}, signer: {{mrsigner: {SIGNER}, isvprodid: 6}}}}",
        f"attestation: [{{mrenclave: {OTHER_MEASUREMENT}}}, {{mrenclave: {MEASUREMENT}}}]",
    ],
)
def test_what_fulfils_one_variant_is_accepted(attestation: str) -> None:
    """One variant is enough, all of its factors are needed."""
    decide_enclave(_session(attestation), "main", CLAIMS)


def test_a_wrong_measurement_is_told_with_every_expected_one() -> None:
    """The reasons have the form that users of SCONE's runtime know, line by line."""
    session = _session(f"mrenclaves: [{MEASUREMENT}, {OTHER_MEASUREMENT}]")
    assert _reasons(session, _CHANGED) == (
        "Caused by: None of the required enclave properties are met by the enclave",
        "Caused by: Not all of the required enclave properties are met by the enclave",
        "Caused by: None of the required enclave properties are met by the enclave",
        f"Error 1 of 2: Unexpected enclave measurement (MRENCLAVE, {WRONG}) - Expected {MEASUREMENT}",
        f"Error 2 of 2: Unexpected enclave measurement (MRENCLAVE, {WRONG}) - Expected {OTHER_MEASUREMENT}",
    )


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("isvprodid: 7", "Unexpected product ID (ISVPRODID, 6) - Expected 7"),
        ("isvprodid: 6, isvsvn: 5", "Unexpected security version (ISVSVN, 4) - Expected 5"),
        ("isvprodid: 6, isvsvn: 3", "Unexpected security version (ISVSVN, 4) - Expected 3"),
        ("isvprodid: 6, isvsvn_min: 5", "Unexpected security version (ISVSVN, 4) - Expected at least 5"),
        ("isvprodid: 6, isvsvn_max: 3", "Unexpected security version (ISVSVN, 4) - Expected at most 3"),
        (
            "isvprodid: 6, isvsvn_min: 5, isvsvn_max: 8",
            "Unexpected security version (ISVSVN, 4) - Expected at least 5 and at most 8",
        ),
    ],
)
def test_each_property_of_the_signer_is_told(rule: str, expected: str) -> None:
    """Product and version are compared with what the rule says, bounds included."""
    assert _reasons(_session(_signed(rule)), CLAIMS)[-1] == f"Error 1 of 1: {expected}"


def test_all_mismatches_of_all_variants_are_told() -> None:
    """Not only the first one: platform, mode, each factor of each variant."""
    attestation = (
        f"attestation: [{{mrenclave: {OTHER_MEASUREMENT}}}, "
        f"{{mrenclave: {OTHER_MEASUREMENT}, signer: {{mrsigner: {WRONG}, isvprodid: 7, isvsvn: 5}}}}]"
    )
    claims = dataclasses.replace(CLAIMS, platform="sim", debug=True)
    errors = [reason for reason in _reasons(_session(attestation), claims) if reason.startswith("Error")]
    assert len(errors) == 7
    assert errors[0].startswith("Error 1 of 7: Unexpected platform (platform, sim)")
    assert errors[1].startswith("Error 2 of 7: Unexpected enclave mode (DEBUG, true)")
    assert errors[2].endswith("(variant 1 of 2)")
    assert [
        word in error for word, error in zip(("MRENCLAVE", "MRSIGNER", "ISVPRODID", "ISVSVN"), errors[3:], strict=True)
    ]


@pytest.mark.parametrize(
    ("tolerate", "platform", "debug", "accepted"),
    [
        ("", "sgx", False, True),
        ("", "tdx", False, True),
        ("", "sim", False, False),
        ("debug-mode", "sim", False, False),
        ("simulation", "sim", False, True),
        ("simulation", "sgx", False, True),
        ("simulation", "sim", True, False),
        ("", "sgx", True, False),
        ("debug-mode", "sgx", True, True),
        ("simulation, debug-mode", "sim", True, True),
    ],
)
def test_weak_platforms_need_to_be_tolerated(tolerate: str, platform: str, debug: bool, accepted: bool) -> None:  # noqa: FBT001
    """Simulation and debug mode count only where the session names them, each by itself."""
    claims = dataclasses.replace(CLAIMS, platform=platform, debug=debug)
    if accepted:
        decide_enclave(_session(tolerate=tolerate), "main", claims)
    else:
        assert _reasons(_session(tolerate=tolerate), claims)


def test_tolerated_simulation_does_not_excuse_another_program() -> None:
    """A changed application is refused in simulation as it is on hardware."""
    claims = dataclasses.replace(_CHANGED, platform="sim")
    assert WRONG in _reasons(_session(tolerate="simulation"), claims)[-1]


def test_mode_none_accepts_every_enclave() -> None:
    """The language says so: with attestation disabled, the attestation of services has no effect."""
    decide_enclave(_session(mode="none"), "main", dataclasses.replace(_CHANGED, platform="sim", debug=True))


def test_a_service_without_a_variant_trusts_nobody() -> None:
    """Closed by default, even if such a session came from elsewhere than the parser."""
    session = _session()
    nobody = dataclasses.replace(session.services[0], attestation=())
    assert _reasons(dataclasses.replace(session, services=(nobody,)), CLAIMS)


def test_an_unknown_service_is_not_found() -> None:
    """The name of the service is part of what is asked for."""
    with pytest.raises(NotFoundError):
        decide_enclave(_session(), "other", CLAIMS)


@pytest.mark.parametrize("change", [{"platform": "SGX"}, {"platform": ""}, {"svn": -1}, {"product_id": 65536}])
def test_claims_are_checked_at_construction(change: dict[str, object]) -> None:
    """An unknown platform or a number out of range is never decided on."""
    with pytest.raises(InputError):
        dataclasses.replace(CLAIMS, **change)  # type: ignore[arg-type]  # wrong values are the point


CREATOR: Final = KeyHash(b"c" * 32)
FRIEND: Final = KeyHash(b"f" * 32)
STRANGER: Final = KeyHash(b"s" * 32)


@pytest.mark.parametrize(
    ("policy", "operation", "allowed"),
    [
        ("{}", "read", {CREATOR}),
        ("{}", "update", {CREATOR}),
        ("{}", "create_sessions", {CREATOR}),
        ("{read: [CREATOR]}", "read", {CREATOR}),
        (f"{{read: [CREATOR, {FRIEND}]}}", "read", {CREATOR, FRIEND}),
        (f"{{read: [{FRIEND}]}}", "read", {FRIEND}),
        (f"{{read: [{FRIEND}]}}", "update", {CREATOR}),
        ("{read: ANY}", "read", {CREATOR, FRIEND, STRANGER}),
        ("{read: ANY}", "update", {CREATOR}),
        ("{read: NONE}", "read", set()),
        (f"{{update: [{FRIEND}]}}", "create_sessions", {FRIEND}),
        (f"{{update: [{FRIEND}], create_sessions: NONE}}", "create_sessions", set()),
        (f"{{update: NONE, create_sessions: {FRIEND}}}", "create_sessions", {FRIEND}),
    ],
)
def test_access(policy: str, operation: Operation, allowed: set[KeyHash]) -> None:
    """Who may do what, for each kind of client; what is not said is for the creator alone."""
    session = parse(rest=f"access_policy: {policy}")
    for client in (CREATOR, FRIEND, STRANGER):
        refused: BannockError | None = None
        try:
            decide_access(session, operation, client, CREATOR)
        except DeniedError as error:
            refused = error
        assert (refused is None) == (client in allowed)
        assert refused is None or f"may not {operation} session test" in refused.message
