"""Sessions decide on genuine evidence: each toleration is needed, all suffice, and none is good for another."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import DeniedError
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.recorded import appraise_recorded
from bannock.policy import decide_enclave, parse_session
from bannock.policy.machines import rule_for
from bannock.policy.session import Toleration
from bannock.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bannock.policy import Session
    from bannock.policy.claims import Claims

_DATA: Final = Path(__file__).parents[2] / "data" / "evidence" / "dcap"
#: Sample → what a session has to tolerate, and which advisories it has to ignore.
_SAMPLES: Final = {
    "sgx-v3-swhardening": ({"software-hardening-needed"}, {"INTEL-SA-00615"}),
    "sgx-v3-config-and-swhardening": (
        {"software-hardening-needed", "insecure-configuration"},
        {"INTEL-SA-00289", "INTEL-SA-00615"},
    ),
    "sgx-v3-debug": (
        {"debug-mode", "software-hardening-needed", "insecure-configuration"},
        {"INTEL-SA-00289", "INTEL-SA-00615"},
    ),
    "tdx-v4-uptodate": (set[str](), set[str]()),
    "tdx-v4-outofdate": ({"outdated-tcb"}, {"INTEL-SA-00960", "INTEL-SA-00982", "INTEL-SA-00986"}),
}


@functools.cache
def _claims(sample: str) -> Claims:
    expected = json.loads((_DATA / f"{sample}.expect.json").read_bytes())
    known = Endorsements(dcap=((_DATA / f"{sample}.collateral.json").read_text(encoding="utf-8"),))
    at = dt.datetime.fromtimestamp(expected["verify_at"], dt.UTC)
    return appraise_recorded((_DATA / f"{sample}.quote").read_bytes(), at=at, endorsements=known)


def _session(claims: Claims, tolerate: Iterable[str], ignore: Iterable[str], *, machines: bool = True) -> Session:
    rule = rule_for(claims) if machines else None
    return parse_session(f"""
name: demo
version: "0.3.11"
services: [{{name: app, command: run, attestation: {{mrenclave: "{claims.measurement}"}}}}]
security:
  attestation:
    tolerate: [{", ".join(tolerate)}]
    ignore_advisories: [{", ".join(ignore)}]
    machines: [{"" if rule is None else rule}]
""")


def _is_accepted(session: Session, claims: Claims) -> bool:
    try:
        decide_enclave(session, "app", claims)
    except DeniedError:
        return False
    return True


@pytest.mark.parametrize("sample", sorted(_SAMPLES))
def test_each_toleration_is_needed_and_all_of_them_suffice(sample: str) -> None:
    """Over every subset of tolerations and advisories: those that have it all are accepted, no others."""
    claims = _claims(sample)
    tolerate, ignore = _SAMPLES[sample]
    wanted = [*sorted(tolerate), *sorted(ignore)]
    for size in range(len(wanted) + 1):
        for chosen in itertools.combinations(wanted, size):
            session = _session(claims, tolerate & {*chosen}, ignore & {*chosen})
            assert _is_accepted(session, claims) == ({*chosen} == {*wanted}), chosen


@pytest.mark.parametrize("sample", sorted(_SAMPLES))
def test_tolerations_of_something_else_help_nothing(sample: str) -> None:
    """All words but one that is needed, and the wildcard for production enclaves."""
    claims = _claims(sample)
    tolerate, ignore = _SAMPLES[sample]
    for missing in tolerate:
        others = {str(each) for each in Toleration} - {missing}
        assert not _is_accepted(_session(claims, others, ignore), claims), missing
    anything = dataclasses.replace(
        _session(claims, tolerate, ()).security,
        ignored_advisories=None,
        tolerated=frozenset(map(Toleration, tolerate)),
    )
    session = dataclasses.replace(_session(claims, (), ()), security=anything)
    assert _is_accepted(session, claims) == (claims.debug or not ignore)


@pytest.mark.parametrize("sample", [name for name in sorted(_SAMPLES) if name.startswith("tdx")])
def test_a_genuine_machine_is_trusted_by_its_own_rule_alone(sample: str) -> None:
    """Neither without one, nor by that of the other genuine machine."""
    claims = _claims(sample)
    tolerate, ignore = _SAMPLES[sample]
    assert _is_accepted(_session(claims, tolerate, ignore), claims)
    assert not _is_accepted(_session(claims, tolerate, ignore, machines=False), claims)
    (other,) = (_claims(name) for name in _SAMPLES if name.startswith("tdx") and name != sample)
    assert not _is_accepted(_session(other, tolerate, ignore), claims)


@settings(deadline=None, max_examples=150)
@given(
    sample=st.sampled_from(sorted(_SAMPLES)),
    tolerate=st.sets(st.sampled_from(list(Toleration))),
    more=st.sets(st.sampled_from(list(Toleration))),
    ignore=st.sets(st.sampled_from(sorted(set().union(*(advisories for _, advisories in _SAMPLES.values()))))),
    worse=st.sets(st.sampled_from(["outdated-tcb", "hyperthreading", "something-new"])),
)
def test_a_session_that_accepts_more_refuses_no_more(
    sample: str, tolerate: set[str], more: set[str], ignore: set[str], worse: set[str]
) -> None:
    """And evidence that is worse is accepted by no session that refuses the better one."""
    claims = _claims(sample)
    session = _session(claims, tolerate, ignore)
    if _is_accepted(session, claims):
        assert _is_accepted(_session(claims, tolerate | more, ignore), claims)
    weaker = dataclasses.replace(claims, weaknesses=claims.weaknesses | worse)
    if _is_accepted(session, weaker):
        assert _is_accepted(session, claims)
    assert not _is_accepted(session, dataclasses.replace(claims, measurement=Measurement(b"\x0e" * 32)))
