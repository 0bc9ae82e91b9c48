"""Rules for machines: what the language takes, what a decision accepts, and every reason of a refusal."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import DeniedError, InputError, PolicySyntaxError
from bannock.policy import Claims, Session, decide_enclave
from bannock.policy.binding import bind_session
from bannock.policy.machine_file import parse_machines
from bannock.policy.machines import MachineRule, rule_for
from bannock.policy.session import Section
from bannock.values import Measurement
from tests.unit.policy.documents import KEY, MEASUREMENT, SIGNER, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.policy.canonical import JsonValue

A48, B48, C48 = ("ab" * 48, "bc" * 48, "cd" * 48)
A32, B32 = ("ab" * 32, "bc" * 32)

#: The machine's claims on each platform that vouches for one.
MACHINES: Final = {
    "tdx": {
        "mrtd": A48,
        "rtmr0": B48,
        "rtmr1": B48,
        "rtmr2": B48,
        "rtmr3": "00" * 48,
        "mrseam": C48,
        "xfam": "e7" * 8,
    },
    "sev-snp": {
        "measurement": A48,
        "host_data": "00" * 32,
        "id_key_digest": "00" * 48,
        "guest_svn": "2",
        "vmpl": "0",
        "policy": "0000000000030000",
        "product": "Milan",
        "tcb_bootloader": "4",
        "tcb_tee": "0",
        "tcb_snp": "22",
        "tcb_microcode": "213",
    },
    "tpm": {"pcr.sha256.4": A32, "pcr.sha256.7": B32, "pcr.sha256.10": B32, "secure_boot": "true"},
}
_MINIMUM: Final = "minimum_tcb: {snp: 22, microcode: 209}"
#: One rule for each that it fulfils.
RULES: Final = {
    "tdx": f"{{tdx: {{mrtd: {A48}, rtmr1: [{C48}, {B48.upper()}], rtmr2: 0x{B48}}}}}",
    "sev-snp": f"{{sev-snp: {{measurement: {A48}, guest_svn: 2, product: milan, {_MINIMUM}}}}}",
    "tpm": f"{{tpm: {{pcrs: {{sha256: {{4: {A32}, 7: [{A32}, {B32}]}}}}, secure_boot: true}}}}",
}
ATTESTER: Final = "2c45c8294d491808aa9b2a6bca01b8e185ffc69266c833546e5dca1c676a6151"


def _claims(platform: str, **machine: str) -> Claims:
    return Claims(
        platform=platform,
        measurement=Measurement.from_hex(MEASUREMENT),
        signer=Measurement.from_hex(SIGNER),
        product_id=6,
        svn=4,
        debug=False,
        attester=ATTESTER,
        machine=MACHINES[platform] | machine,
    )


def _rehearsed(claims: Claims) -> Claims:
    return dataclasses.replace(claims, platform="sim", rehearses=claims.platform)


def _session(machines: str = "[]", more: str = "") -> Session:
    return parse(rest=f"security: {{attestation: {{machines: {machines}{more}}}}}")


def _refusal(session: Session, claims: Claims) -> DeniedError:
    with pytest.raises(DeniedError) as caught:
        decide_enclave(session, "main", claims)
    return caught.value


def _errors(session: Session, claims: Claims) -> list[str]:
    return [reason.partition(": ")[2] for reason in _refusal(session, claims).reasons if reason.startswith("Error")]


@pytest.mark.parametrize("platform", sorted(MACHINES))
def test_a_machine_that_a_rule_is_for_is_accepted(platform: str) -> None:
    """Any of the rules suffices, one alone needs no list, and other platforms' rules do not matter."""
    claims = _claims(platform)
    others = [RULES[other] for other in MACHINES if other != platform]
    decide_enclave(_session(RULES[platform]), "main", claims)
    decide_enclave(_session(f"[{', '.join([*others, RULES[platform]])}]"), "main", claims)
    assert _errors(_session(f"[{', '.join(others)}]"), claims) == [
        f"Unexpected machine (platform, {platform}) - Expected {' or '.join(o for o in MACHINES if o != platform)}"
    ]


@pytest.mark.parametrize("platform", sorted(MACHINES))
def test_no_machine_is_trusted_unless_it_is_named(platform: str) -> None:
    """Not even where the vendor vouches for it: it could run any LAS. The hint is a rule that accepts it."""
    claims = _claims(platform)
    refusal = _refusal(_session(), claims)
    assert f"Unexpected machine (platform, {platform})" in refusal.reasons[-1]
    rule = rule_for(claims)
    assert rule is not None
    assert refusal.hint is not None
    assert refusal.hint.endswith(f"security.attestation: {{machines: [{rule}]}}")
    decide_enclave(_session(f"[{rule}]"), "main", claims)


@pytest.mark.parametrize("platform", sorted(MACHINES))
def test_a_named_attester_may_be_on_any_machine(platform: str) -> None:
    """``trusted_scone_qe_pubkeys`` names who measures; where it runs is nobody's business then."""
    claims = _claims(platform)
    decide_enclave(_session(more=f", trusted_scone_qe_pubkeys: [{ATTESTER.upper()}]"), "main", claims)
    assert _errors(_session(more=f", trusted_scone_qe_pubkeys: [{KEY}]"), claims)


@pytest.mark.parametrize("platform", sorted(MACHINES))
def test_a_rehearsed_machine_is_decided_on_like_a_genuine_one(platform: str) -> None:
    """What is rehearsed shows what would happen; simulation has to be tolerated as well."""
    claims = _rehearsed(_claims(platform))
    decide_enclave(_session(RULES[platform], ", tolerate: [simulation]"), "main", claims)
    assert "(platform, sim)" in _errors(_session(RULES[platform]), claims)[0]
    (error,) = _errors(_session(more=", tolerate: [simulation]"), claims)
    assert error == f"Unexpected machine (platform, {platform}) - Expected one that the session lists"


@pytest.mark.parametrize("platform", ["sgx", "sim"])
def test_rules_for_machines_say_nothing_of_enclaves_without_one(platform: str) -> None:
    """SGX vouches for the enclave itself; a simulation that rehearses nothing has to be tolerated anyway."""
    claims = dataclasses.replace(_claims("tdx"), platform=platform, machine={})
    for machines in ("[]", RULES["tdx"]):
        decide_enclave(_session(machines, ", tolerate: [simulation]"), "main", claims)


@pytest.mark.parametrize(
    ("platform", "changed", "reason"),
    [
        ("tdx", {"mrtd": C48}, f"Unexpected machine (MRTD, {C48}) - Expected {A48}"),
        ("tdx", {"rtmr1": A48}, f"Unexpected machine (RTMR1, {A48}) - Expected {C48} or {B48}"),
        ("sev-snp", {"measurement": B48}, f"Unexpected machine (MEASUREMENT, {B48}) - Expected {A48}"),
        ("sev-snp", {"guest_svn": "1"}, "Unexpected machine (GUEST_SVN, 1) - Expected at least 2"),
        ("sev-snp", {"guest_svn": "10"}, None),
        ("sev-snp", {"vmpl": "1"}, "Unexpected machine (VMPL, 1) - Expected 0"),
        ("sev-snp", {"product": "Genoa"}, "Unexpected machine (PRODUCT, Genoa) - Expected milan"),
        ("sev-snp", {"tcb_snp": "9"}, "Unexpected machine (TCB snp, 9) - Expected at least 22"),
        ("sev-snp", {"tcb_microcode": "209"}, None),
        ("sev-snp", {"tcb_microcode": "208"}, "Unexpected machine (TCB microcode, 208) - Expected at least 209"),
        ("sev-snp", {"tcb_microcode": "x"}, "Unexpected machine (TCB microcode, x) - Expected at least 209"),
        (
            "sev-snp",
            {"policy": "0000000000070000"},
            "Unexpected machine (POLICY, 0000000000070000) - Expected one without a migration agent, or named so",
        ),
        ("tpm", {"pcr.sha256.7": A32}, None),
        ("tpm", {"pcr.sha256.4": B32}, f"Unexpected machine (PCR 4 (sha256), {B32}) - Expected {A32}"),
        ("tpm", {"secure_boot": "false"}, "Unexpected machine (SECURE_BOOT, false) - Expected true"),
    ],
)
def test_each_value_of_a_rule_is_compared(platform: str, changed: dict[str, str], reason: str | None) -> None:
    """Lists hold what is accepted, numbers are bounds, hexadecimal digits have no case."""
    claims = _claims(platform, **changed)
    if reason is None:
        decide_enclave(_session(RULES[platform]), "main", claims)
        return
    refusal = _refusal(_session(RULES[platform]), claims)
    assert refusal.reasons[-1] == f"Error 1 of 1: {reason}"
    # Where there is a rule, what a machine says of itself is no advice.
    assert refusal.hint is None


@pytest.mark.parametrize("platform", sorted(MACHINES))
def test_what_a_platform_does_not_tell_fulfils_no_rule(platform: str) -> None:
    """Closed by default: a value that is missing is a value that differs."""
    rule = _session(RULES[platform]).security.machines[0]
    for name in (*rule.values, *rule.at_least, *rule.without):
        machine = {key: value for key, value in MACHINES[platform].items() if key != name}
        (error,) = _errors(_session(RULES[platform]), dataclasses.replace(_claims(platform), machine=machine))
        assert ", not told) - Expected" in error


def test_a_migration_agent_is_accepted_by_name_alone() -> None:
    """Whoever starts a guest may allow one, and the launch measurement does not tell."""
    migratable = _claims("sev-snp", policy="0000000000070000")
    rule = rule_for(migratable)
    assert rule is not None
    assert "policy" in rule
    decide_enclave(_session(rule), "main", migratable)
    assert _errors(_session(rule), _claims("sev-snp", policy="0000000000030000"))
    assert "policy" not in str(rule_for(_claims("sev-snp")))


def test_registers_that_change_by_themselves_are_not_suggested() -> None:
    """Those of settings and of running programs would refuse the same machine tomorrow; unused ones say nothing."""
    volatile = {f"pcr.sha256.{index}": B32 for index in (1, 3, 5, 6, 10, 23)} | {"pcr.sha256.9": "00" * 32}
    assert rule_for(_claims("tpm", **volatile)) == rule_for(_claims("tpm"))
    only = dataclasses.replace(_claims("tpm"), machine={"pcr.sha384.23": A48})
    assert rule_for(only) == f"{{tpm: {{pcrs: {{sha384: {{23: {A48}}}}}}}}}"


def test_every_mismatch_of_every_rule_is_told() -> None:
    """With the number of the rule, where there are several for the platform."""
    machines = f"[{RULES['tdx']}, {RULES['tpm']}, {{tdx: {{mrtd: {C48}, rtmr1: {C48}}}}}]"
    errors = _errors(_session(machines), _claims("tdx", mrtd=B48, rtmr2=A48))
    assert [error.rpartition(" (")[2] for error in errors] == ["machine 1 of 2)"] * 2 + ["machine 2 of 2)"] * 2
    assert [error.split(",", maxsplit=1)[0] for error in errors] == [
        "Unexpected machine (MRTD",
        "Unexpected machine (RTMR2",
        "Unexpected machine (MRTD",
        "Unexpected machine (RTMR1",
    ]


def test_another_program_on_the_right_machine_is_refused() -> None:
    """And the other way round: both are needed."""
    claims = dataclasses.replace(_claims("tdx"), measurement=Measurement(b"\x0e" * 32))
    (error,) = _errors(_session(RULES["tdx"]), claims)
    assert error.startswith("Unexpected enclave measurement (MRENCLAVE")


_ONE: Final = f"mrtd: {A48}"


@pytest.mark.parametrize(
    ("machines", "issue"),
    [
        ("[{}]", "machines[0]: expected one of tdx, sev-snp and tpm"),
        (
            f"[{{tdx: {{{_ONE}}}, tpm: {{pcrs: {{sha256: {{4: {A32}}}}}}}}}]",
            "machines[0]: expected one of tdx, sev-snp",
        ),
        ("[{tdx: {}}]", "machines[0].tdx: expected mrtd"),
        (f"[{{tdx: {{rtmr1: {A48}}}}}]", "machines[0].tdx: expected mrtd"),
        ("[{tdx: {mrtd: []}}]", "machines[0].tdx.mrtd: expected at least one entry"),
        (f"[{{tdx: {{mrtd: {A32}}}}}]", "machines[0].tdx.mrtd: expected 96 hexadecimal digits"),
        (f"[{{tdx: {{{_ONE}, rtmr4: {A48}}}}}]", "machines[0].tdx.rtmr4: unknown key 'rtmr4'"),
        (f"[{{tdx: {{{_ONE}, xfam: {A48}}}}}]", "machines[0].tdx.xfam: expected 16 hexadecimal digits"),
        ("[{sev-snp: {guest_svn: 2}}]", "machines[0].sev-snp: expected measurement, or id_key_digest"),
        (f"[{{sev-snp: {{id_key_digest: ['{'00' * 48}', {A48}]}}}}]", "a digest of zeros, which names nobody"),
        (f"[{{sev-snp: {{measurement: {A48}, vmpl: 4}}}}]", "sev-snp.vmpl: expected one of 0, 1, 2, 3, found '4'"),
        (f"[{{sev-snp: {{measurement: {A48}, product: Rome}}}}]", "product: expected one of milan, genoa, turin"),
        (f"[{{sev-snp: {{measurement: {A48}, guest_svn: x}}}}]", "guest_svn: expected a whole number"),
        (f"[{{sev-snp: {{measurement: {A48}, minimum_tcb: {{snp: 256}}}}}}]", "minimum_tcb.snp: expected at most 255"),
        (f"[{{sev-snp: {{measurement: {A48}, minimum_tcb: {{ucode: 1}}}}}}]", "did you mean microcode?"),
        ("[{tpm: {secure_boot: true}}]", "machines[0].tpm: pcrs is missing"),
        ("[{tpm: {pcrs: {}}}]", "machines[0].tpm.pcrs: expected at least one PCR"),
        ("[{tpm: {pcrs: {sha256: {}}}}]", "machines[0].tpm.pcrs: expected at least one PCR"),
        (f"[{{tpm: {{pcrs: {{sha1: {{4: {A32}}}}}}}}}]", "unknown key 'sha1', allowed: sha256, sha384"),
        (f"[{{tpm: {{pcrs: {{sha256: {{24: {A32}}}}}}}}}]", "expected the number of a PCR, from 0 to 23, found '24'"),
        (f"[{{tpm: {{pcrs: {{sha256: {{04: {A32}}}}}}}}}]", "expected the number of a PCR, from 0 to 23, found '04'"),
        (f"[{{tpm: {{pcrs: {{sha256: {{4: {A48}}}}}}}}}]", "pcrs.sha256.4: expected 64 hexadecimal digits"),
        (f"[{{tpm: {{pcrs: {{sha256: {{4: {A32}}}}}, secure_boot: false}}}}]", "secure_boot: expected one of true"),
        ("[{snp: {}}]", "did you mean sev-snp?"),
        ("[x]", "machines[0]: expected a mapping, found text"),
    ],
)
def test_what_no_rule_is_is_refused_at_its_place(machines: str, issue: str) -> None:
    """With what was expected, and the nearest word for a typo."""
    with pytest.raises(PolicySyntaxError) as caught:
        _session(machines)
    (reason,) = (line for line in caught.value.reasons if issue in line)
    assert " at line " in reason


def test_all_issues_of_all_rules_are_told_at_once() -> None:
    """A person mends a document once."""
    with pytest.raises(PolicySyntaxError) as caught:
        _session("[{tdx: {}}, {sev-snp: {vmpl: 9}}, {tpm: {pcrs: {sha256: {4: x, 99: y}}}}]")
    assert len(caught.value.reasons) == 5


def test_machines_beside_attestation_are_told_where_they_belong() -> None:
    """A frequent slip has its hint."""
    with pytest.raises(PolicySyntaxError, match="1 issue") as caught:
        parse(rest=f"security: {{machines: {RULES['tdx']}}}")
    assert "did you mean attestation?" in caught.value.reasons[0]


_SECRETS: Final = """
secrets:
  - {name: rules, kind: config-fragment, import: {session: other, secret: rules}}
  - {name: domain, kind: config-fragment, import: {session: other, secret: domain}}
  - {name: values, kind: config-fragment, import: {session: other, secret: values}}
  - {name: digest, kind: ascii, import: {session: other, secret: digest}}
"""
_VALUES: Final[Mapping[str, JsonValue]] = {
    "rules": [{"tdx": {"mrtd": A48}}, {"tdx": {"mrtd": B48}}],
    "domain": {"mrtd": A48, "rtmr1": B48},
    "values": [C48, A48],
    "digest": A32,
}


@pytest.mark.parametrize(
    ("machines", "platform"),
    [
        ("$$SCONE::rules$$", "tdx"),
        (f"[{{tdx: {{mrtd: {C48}}}}}, $$SCONE::rules$$]", "tdx"),
        ("[{tdx: $$SCONE::domain$$}]", "tdx"),
        ("[{tdx: {mrtd: $$SCONE::values$$}}]", "tdx"),
        (f"[{{tdx: {{mrtd: [{C48}, $$SCONE::values$$]}}}}]", "tdx"),
        ("[{sev-snp: {measurement: $$SCONE::values$$}}]", "sev-snp"),
        ("[{tpm: {pcrs: {sha256: {4: $$SCONE::digest$$}}}}]", "tpm"),
    ],
)
def test_secrets_may_stand_for_rules_and_for_anything_in_them(machines: str, platform: str) -> None:
    """Nothing is decided before they are there, and then all is checked as if it had been written."""
    session = parse(rest=f"security: {{attestation: {{machines: {machines.replace('$$', '$$')}}}}}\n{_SECRETS}")
    assert session.unbound == {Section.SECURITY}
    with pytest.raises(DeniedError, match="lack their secrets"):
        decide_enclave(session, "main", _claims(platform))
    bound = bind_session(session, lambda placeholder: _VALUES[placeholder.name])
    decide_enclave(bound, "main", _claims(platform))
    assert _errors(bound, _claims(platform, mrtd="ef" * 48, measurement="ef" * 48, **{"pcr.sha256.4": "ef" * 32}))
    with pytest.raises(InputError, match="secrets cannot stand where"):
        bind_session(session, lambda _: "nonsense")


def test_a_machine_is_a_platform_of_a_service_by_its_identity() -> None:
    """``platforms`` takes keys of attesters, and identities of machines; a refusal lists what is there, not theirs."""
    claims = dataclasses.replace(_claims("tdx"), machine_id=KEY)
    for platforms in (f"[{KEY.upper()}]", f"[{ATTESTER}]", f"[{'00' * 32}, {KEY}]"):
        session = parse(
            service=f"platforms: {platforms}", rest=f"security: {{attestation: {{machines: {RULES['tdx']}}}}}"
        )
        decide_enclave(session, "main", claims)
    session = parse(
        service=f"platforms: ['{'00' * 32}']", rest=f"security: {{attestation: {{machines: {RULES['tdx']}}}}}"
    )
    (error,) = _errors(session, claims)
    assert error == (
        f"Unexpected platform (public key, {ATTESTER}, machine, {KEY}) - Expected the platform of the service"
    )
    # SGX tells no attester.
    sgx = dataclasses.replace(claims, platform="sgx", attester=None, machine={})
    assert _errors(session, sgx) == [f"Unexpected platform (machine, {KEY}) - Expected the platform of the service"]


def test_a_rule_asks_for_something() -> None:
    """An empty conjunction is no rule, wherever it comes from."""
    with pytest.raises(InputError, match="asks for something"):
        MachineRule(platform="tdx")
    with pytest.raises(InputError, match="a machine is of platform"):
        MachineRule(platform="sgx", values={"mrtd": (A48,)})


@pytest.mark.parametrize(
    ("machines", "warned"),
    [
        (RULES["tdx"], False),
        (f"[{RULES['tdx']}]", False),
        (f"[{{tdx: {{mrtd: {A48}}}}}]", True),
        (f"{{tdx: {{mrtd: {A48}}}}}", True),
        (RULES["tpm"], False),
        (f"[{{tpm: {{pcrs: {{sha256: {{0: {A32}, 7: {A32}}}}}}}}}]", True),
        (f"[{{tpm: {{pcrs: {{sha256: {{7: {A32}, 9: '{'00' * 32}'}}}}}}}}]", True),
        (f"[{{tpm: {{pcrs: {{sha256: {{9: ['{'00' * 32}', {A32}]}}}}}}}}]", False),
        (RULES["sev-snp"], False),
    ],
)
def test_a_rule_that_leaves_the_kernel_open_gets_a_warning(machines: str, warned: bool) -> None:  # noqa: FBT001
    """Whoever chooses the kernel chooses the LAS that measures enclaves."""
    warnings = [issue for issue in _session(machines).warnings if "which kernel" in issue.message]
    assert bool(warnings) == warned


@pytest.mark.parametrize("text", ["- {}", "[{}]", "{}", "machines: [{}]", "machines: {}"])
def test_a_file_of_machines_has_what_a_session_has(text: str) -> None:
    """One rule, a list, or what a session has with its key."""
    rules = parse_machines(text.replace("{}", RULES["tdx"]))
    assert rules == _session(RULES["tdx"]).security.machines


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("[]", ["expected at least one rule at line 1 column 1"]),
        ("machines:", ["expected at least one rule at line 1 column 1"]),
        ("x", ["expected a mapping, found text at line 1 column 1"]),
        ("tdx: {mrtd: $$SCONE::a$$}", ["tdx.mrtd: no secret is named 'a' at line 1 column 13"]),
        ("tdx: {}\ntdx: {}", ["tdx: the key occurs twice", "tdx: expected mrtd"]),
        (
            "- tdx: {}\n- tdx: {mrtd: x}",
            ["[0].tdx: expected mrtd", "[1].tdx.mrtd: expected 96 hexadecimal digits, found 'x' at line 2 column 15"],
        ),
    ],
)
def test_a_file_that_is_none_is_refused_with_every_issue(text: str, reasons: list[str]) -> None:
    """Places are those of the file."""
    with pytest.raises(PolicySyntaxError, match="the file of machines has") as caught:
        parse_machines(text)
    found = sorted(caught.value.reasons)
    assert len(found) == len(reasons)
    assert all(expected in reason for expected, reason in zip(sorted(reasons), found, strict=True))
