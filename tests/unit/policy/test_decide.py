"""Decisions on enclaves: every one of them, with its reasons."""

from __future__ import annotations

import dataclasses
from typing import Final

import pytest

from bannock.errors import DeniedError, InputError, NotFoundError
from bannock.policy import Claims, Session, decide_enclave
from bannock.policy.session import AttestationMode, Section, Toleration
from bannock.values import Measurement
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
        ("", "tdx", False, False),
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


def _with(session: Session, **security: object) -> Session:
    return dataclasses.replace(session, security=dataclasses.replace(session.security, **security))  # type: ignore[arg-type]


def _errors(session: Session, claims: Claims) -> list[str]:
    return [reason.partition(": ")[2] for reason in _reasons(session, claims) if reason.startswith("Error")]


def _hint(session: Session, claims: Claims) -> str | None:
    with pytest.raises(DeniedError) as caught:
        decide_enclave(session, "main", claims)
    return caught.value.hint


_HYPERTHREADED: Final = {"weaknesses": {"insecure-configuration"}, "advisories": {"INTEL-SA-00233"}}
_OUTDATED: Final = {"weaknesses": {"outdated-tcb"}, "advisories": {"INTEL-SA-00161", "INTEL-SA-00270"}}
_BOTH: Final = {"weaknesses": {"insecure-configuration"}, "advisories": {"INTEL-SA-00233", "INTEL-SA-00334"}}


@pytest.mark.parametrize(
    ("found", "tolerated", "ignored", "accepted"),
    [
        (_HYPERTHREADED, {"hyperthreading"}, (), True),
        (_HYPERTHREADED, {"insecure-configuration"}, (), False),
        (_HYPERTHREADED, {"insecure-configuration"}, ("INTEL-SA-00233",), True),
        (_HYPERTHREADED, set(), ("INTEL-SA-00233",), False),
        (_OUTDATED, {"outdated-tcb"}, (), False),
        (_OUTDATED, set(), ("INTEL-SA-00161", "INTEL-SA-00270"), False),
        (_OUTDATED, {"outdated-tcb"}, ("INTEL-SA-00161",), False),
        (_OUTDATED, {"outdated-tcb"}, ("INTEL-SA-00161", "INTEL-SA-00270"), True),
        (_OUTDATED, {"software-hardening-needed"}, ("INTEL-SA-00161", "INTEL-SA-00270"), False),
        (_BOTH, {"hyperthreading"}, (), False),
        (_BOTH, {"hyperthreading"}, ("INTEL-SA-00334",), False),
        (_BOTH, {"hyperthreading", "insecure-configuration"}, ("INTEL-SA-00334",), True),
        ({"weaknesses": {"outdated-tcb"}}, {"outdated-tcb"}, (), True),
        ({"weaknesses": {"outdated-tcb"}}, set(), (), False),
        ({"weaknesses": {"hyperthreading"}}, {"hyperthreading"}, (), True),
        ({"advisories": {"INTEL-SA-00219"}}, {"insecure-igpu"}, (), True),
        ({"advisories": {"INTEL-SA-00657"}}, {"aepic-leak"}, (), True),
        ({"advisories": {"INTEL-SA-00657"}}, {"insecure-igpu"}, (), False),
        ({"weaknesses": {"something-new"}}, set(Toleration), (), False),
    ],
)
def test_each_advisory_and_its_category_have_to_be_accepted(
    found: dict[str, set[str]],
    tolerated: set[str],
    ignored: tuple[str, ...],
    accepted: bool,  # noqa: FBT001
) -> None:
    """Frequent advisories have names of their own; the others are listed, beside the category that they are in."""
    claims = dataclasses.replace(CLAIMS, **{name: frozenset(names) for name, names in found.items()})  # type: ignore[arg-type]
    tolerations = frozenset(Toleration(name) for name in tolerated)
    session = _with(_session(), tolerated=tolerations, ignored_advisories=frozenset(ignored))
    if accepted:
        decide_enclave(session, "main", claims)
    else:
        assert _errors(session, claims)


def test_the_hint_says_what_would_accept_a_weak_platform() -> None:
    """The reference asks for instructions on how to change the session."""
    claims = dataclasses.replace(
        CLAIMS,
        weaknesses=frozenset({"outdated-tcb"}),
        advisories=frozenset({"INTEL-SA-00161", "INTEL-SA-00219"}),
    )
    assert _hint(_session(), claims) == (
        "mend the platform, or accept the risk by security.attestation: "
        "{tolerate: [outdated-tcb, insecure-igpu], ignore_advisories: [INTEL-SA-00161]}"
    )
    assert _hint(_session(), dataclasses.replace(CLAIMS, debug=True)) == (
        "a session for tests, and no other, may say security.attestation: {tolerate: [debug-mode]}"
    )


def test_what_no_session_can_accept_is_told_to_be_mended() -> None:
    """Rather than a word that the language does not have."""
    claims = dataclasses.replace(CLAIMS, weaknesses=frozenset({"outdated-tcb", "revocation-unknown"}))
    assert _hint(_session(), claims) == (
        "no session can accept revocation-unknown: mend the platform, or the collateral of the CAS"
    )


def test_the_wildcard_does_not_count_for_production_enclaves() -> None:
    """It takes in advisories that nobody has read, so it works where nothing is protected anyway."""
    anything = {"ignored_advisories": None, "tolerated": frozenset(Toleration)}
    claims = dataclasses.replace(
        CLAIMS, advisories=frozenset({"INTEL-SA-00999"}), weaknesses=frozenset({"outdated-tcb"})
    )
    session = _with(_session(), **anything)
    decide_enclave(session, "main", dataclasses.replace(claims, debug=True))
    decide_enclave(session, "main", dataclasses.replace(claims, platform="sim"))
    (error,) = _errors(session, claims)
    assert error.startswith("Unexpected advisory (INTEL-SA-00999, applies) - Expected none")
    assert error.endswith("(the wildcard does not count for production enclaves)")


ATTESTER: Final = "2c45c8294d491808aa9b2a6bca01b8e185ffc69266c833546e5dca1c676a6151"


def test_an_attester_that_nobody_vouches_for_has_to_be_named() -> None:
    """``trusted_scone_qe_pubkeys`` adds to what the vendor vouches for."""
    unknown = dataclasses.replace(CLAIMS, attester=ATTESTER, vouched=False)
    (error,) = _errors(_session(), unknown)
    assert error.startswith(f"Unexpected quoting enclave (public key, {ATTESTER}) - Expected one that the vendor")
    assert error.endswith("or that is listed in trusted_scone_qe_pubkeys")
    trusting = _with(_session(), trusted_attesters=(ATTESTER.upper(),))
    decide_enclave(trusting, "main", unknown)
    decide_enclave(trusting, "main", CLAIMS)


def test_a_service_may_be_for_some_platforms_alone() -> None:
    """The refusal does not list them: they are somebody's machines."""
    session = _session()
    (service,) = session.services
    other = "ab" * 32
    pinned = dataclasses.replace(session, services=(dataclasses.replace(service, platforms=(ATTESTER, other)),))
    decide_enclave(pinned, "main", dataclasses.replace(CLAIMS, attester=ATTESTER.upper()))
    for claims in (CLAIMS, dataclasses.replace(CLAIMS, attester="cd" * 32)):
        (error,) = _errors(pinned, claims)
        assert error.endswith("Expected one of the 2 platforms of the service")
        assert other not in error


def test_singleton_enclaves_are_asked_for() -> None:
    """An enclave that may have had a configuration before is refused then."""
    session = _with(_session(), singleton_enclaves=True)
    decide_enclave(session, "main", dataclasses.replace(CLAIMS, singleton=True))
    assert _errors(session, CLAIMS) == [
        "Unexpected enclave (singleton, false: its platform does not name starts of enclaves) - Expected true"
    ]
    assert _errors(session, dataclasses.replace(CLAIMS, instance="ab" * 32)) == [
        "Unexpected enclave (singleton, false: this start of it had a configuration before) - Expected true"
    ]


def test_microsoft_azure_attestation_is_asked_for_and_replaces_the_vendors() -> None:
    """Neither mode accepts what the other one appraised, and ``maa-managed-tcb`` has to be accepted."""
    maa = dataclasses.replace(CLAIMS, provider="maa")
    tolerating = _with(_session(mode="hardware"), mode=AttestationMode.MAA)
    assert _errors(tolerating, maa) == [
        "Unexpected state of the platform (TCB, known to the attestation provider alone) - Expected none"
    ]
    session = _with(tolerating, tolerated=frozenset({Toleration.MAA_MANAGED_TCB}))
    decide_enclave(session, "main", maa)
    assert _errors(session, CLAIMS) == ["Unexpected attestation (mode, hardware) - Expected maa"]
    assert _errors(_session(), maa) == ["Unexpected attestation (mode, maa) - Expected hardware"]


@pytest.mark.parametrize("section", [Section.ATTESTATION, Section.PLATFORMS, Section.SECURITY])
def test_nothing_is_decided_by_sections_that_lack_their_secrets(section: Section) -> None:
    """Closed by default: what a secret would have said is not known."""
    session = dataclasses.replace(_session(), unbound=frozenset({section}))
    with pytest.raises(DeniedError, match="lack their secrets"):
        decide_enclave(session, "main", CLAIMS)
