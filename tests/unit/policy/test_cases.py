"""Files of cases: what they ask, what is wrong with them, and that the documentation's example is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.cli.scone import main
from bannock.errors import BannockError, PolicySyntaxError
from bannock.policy.case_file import parse_cases
from bannock.policy.cases import run_case
from bannock.policy.signing import sign
from tests.unit.policy.documents import MEASUREMENT, parse

if TYPE_CHECKING:
    from bannock.policy import Session
    from bannock.policy.cases import Outcome

_GUIDE: Final = Path(__file__).parents[3] / "docs" / "session-test.md"
_FRIEND: Final = "3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1"


def _block(name: str) -> str:
    found = re.search(rf"<!-- test: {re.escape(name)} -->\n```[a-z]*\n(.*?)```", _GUIDE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """The files of the documentation."""
    for name in ("session.yml", "cases.yml"):
        (tmp_path / name).write_text(_block(name))
    return tmp_path / "cases.yml"


def test_the_example_of_the_documentation_is_true(guide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files, command and output as they stand there."""
    assert main(["session", "test", str(guide)]) == 0
    assert capsys.readouterr().out == _block("output")


def test_every_key_is_documented() -> None:
    """The parser says what it allows; the documentation has each of them."""
    with pytest.raises(PolicySyntaxError) as caught:
        parse_cases("x: y\ndefaults: {x: y}\ncases: [{x: y, service: a, expect: granted}]")
    lists = [re.search(r"allowed: ([a-z_, ]+) at line", reason) for reason in caught.value.reasons]
    keys = {key.strip() for found in lists if found is not None for key in found[1].split(",")}
    assert len(keys) > 20
    assert not [key for key in keys if f"`{key}`" not in _GUIDE.read_text()]


def test_a_wrong_answer_is_told_with_its_reasons(guide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of a refusal, so CI stops."""
    changed = "5e753b24ae9c62c5d86f0fc6e1acb663f0debdcee99f6c327de66cbf3ce3ef67"
    assert main(["session", "test", "-e", f"MRENCLAVE={changed}", str(guide)]) == 30
    told = capsys.readouterr()
    line = _block("cases.yml").splitlines().index("  - name: the released program starts") + 1
    assert f"FAILED  the released program starts: refused, expected granted ({guide}:{line})" in told.out
    assert f"Expected {changed}" in told.out
    assert told.err == "Error: 1 of 6 cases have another answer than the expected one\n"


def test_a_file_without_a_session_needs_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the option, which goes before what the file says."""
    cases, session = tmp_path / "cases.yml", tmp_path / "elsewhere.yml"
    cases.write_text("cases: [{operation: read, client: CREATOR, expect: granted}]")
    session.write_text('name: demo\nversion: "0.3"\n')
    assert main(["session", "test", str(cases)]) == 2
    assert "names no session" in capsys.readouterr().err
    assert main(["session", "test", "--session", str(session), str(cases)]) == 0


def test_a_signed_session_is_asked_for_what_was_signed(tmp_path: Path) -> None:
    """It needs no variables; a signature that does not hold is refused."""
    signed = sign('{"name": "demo", "version": "0.3"}', Ed25519PrivateKey.generate())
    (tmp_path / "signed.json").write_text(signed)
    cases = tmp_path / "cases.yml"
    cases.write_text("session: signed.json\ncases: [{operation: read, client: CREATOR, expect: granted}]")
    assert main(["session", "test", str(cases)]) == 0
    (tmp_path / "signed.json").write_text(sign("nonsense: x", Ed25519PrivateKey.generate()))
    assert main(["session", "test", str(cases)]) == 3


def _ask(session: Session, case: str, head: str = "") -> Outcome:
    file = parse_cases(f"{head}\ncases:\n  - {{{case}}}\n")
    (parsed,) = file.cases
    return run_case(session, parsed, file.secrets)


_GOOD: Final = f"evidence: {{mrenclave: {MEASUREMENT}}}"


@pytest.mark.parametrize(
    ("rest", "case", "granted"),
    [
        ("", f"service: main, {_GOOD}", True),
        ("", "service: main", False),
        ("", "service: other", False),
        ("security: {attestation: {mode: none}}", "service: main", True),
        ("security: {attestation: {mode: none}, service_access_token: abc}", "service: main", False),
        (
            "security: {attestation: {mode: none}, service_access_token: abc}",
            "service: main, service_access_token: abc",
            True,
        ),
        ("security: {singleton_enclaves: true}", f"service: main, {_GOOD}", False),
        ("", "operation: read, client: CREATOR", True),
        ("", f"operation: read, client: {_FRIEND}", False),
        ("", "operation: read", False),
        (f"access_policy: {{read: [{_FRIEND}]}}", f"operation: read, client: {_FRIEND}", True),
        ("", f"operation: update, client: {_FRIEND}, creator: {_FRIEND}", True),
        ("access_policy: {update: ANY}", f"operation: create_sessions, client: {_FRIEND}", True),
    ],
)
def test_a_session_answers_as_in_a_cas(rest: str, case: str, granted: bool) -> None:  # noqa: FBT001
    """Either answer is compared with the expected one."""
    session = parse(rest=rest)
    for expected in ("granted", "refused"):
        outcome = _ask(session, f"{case}, expect: {expected}")
        assert outcome.granted == granted
        assert outcome.passed == (granted == (expected == "granted"))


def test_secrets_have_the_values_that_the_file_gives() -> None:
    """Imported ones too; without a value they let nobody in."""
    session = parse(
        rest="""
        secrets: [{name: who, kind: ascii, import: {session: other, secret: who}}]
        access_policy: {read: ["$$SCONE::who$$"]}
        """
    )
    case = f"operation: read, client: {_FRIEND}, expect: granted"
    assert _ask(session, case, f"secrets: {{who: {_FRIEND}}}").passed
    assert not _ask(session, case).passed


def test_a_whole_policy_may_come_from_the_file() -> None:
    """As a structure, for a fragment."""
    session = parse(
        rest="""
        secrets: [{name: policy, kind: config-fragment, import: {session: other, secret: policy}}]
        access_policy: $$SCONE::policy$$
        """
    )
    case = f"operation: read, client: {_FRIEND}, expect: granted"
    assert _ask(session, case, f"secrets: {{policy: {{read: [{_FRIEND}]}}}}").passed
    assert not _ask(session, case, "secrets: {policy: {read: NONE}}").passed
    assert not _ask(session, case).passed


def test_expected_reasons_have_to_be_given() -> None:
    """Each of them, in some line."""
    case = "service: main, expect: {refused: [Unexpected enclave measurement, TEXT]}"
    assert _ask(parse(), case.replace("TEXT", "MRENCLAVE")).passed
    outcome = _ask(parse(), case.replace("TEXT", "another reason"))
    assert not outcome.passed
    assert outcome.missing == ("another reason",)


@pytest.mark.parametrize(
    ("text", "issue"),
    [
        ("[]", "expected a mapping with cases"),
        ("session: x", "cases: expected a list of cases"),
        ("cases: []", "cases: expected a list of cases"),
        ("cases: [x]", "cases[0]: expected a mapping"),
        ("cases: [{expect: granted}]", "expected either service"),
        ("cases: [{service: a, operation: read, expect: granted}]", "expected either service"),
        ("cases: [{service: a}]", "expect is missing"),
        ("cases: [{service: a, expect: yes}]", "expected one of granted, refused, found 'yes'"),
        ("cases: [{service: a, client: CREATOR, expect: granted}]", "the key does not go with the others here"),
        ("cases: [{service: a, evidence: {platform: SGX}, expect: granted}]", "found 'SGX'"),
        ("cases: [{service: a, evidence: {mrenclave: x}, expect: granted}]", "64 hexadecimal digits"),
        ("cases: [{service: a, evidence: {isvsvn: 65536}, expect: granted}]", "a number from 0 to 65535"),
        ("cases: [{service: a, evidence: {debug: maybe}, expect: granted}]", "expected one of false, true"),
        ("cases: [{service: a, evidence: {weaknesses: [debug-mode]}, expect: granted}]", "weaknesses[0]"),
        ("cases: [{service: a, time: noon, expect: granted}]", "a time is like 2026-01-31T12:00:00Z"),
        ("cases: [{operation: write, expect: granted}]", "expected one of read, update, create_sessions"),
        ("cases: [{operation: read, client: bob, expect: granted}]", "a key hash is 50 characters"),
        ("cases: [{operation: read, signers: [bob], expect: granted}]", "BEGIN PUBLIC KEY"),
        ("cases: [{operation: read, expect: granted, expect: refused}]", "occurs twice"),
        ("defaults: {mrenclaves: x}\ncases: [{operation: read, expect: granted}]", "did you mean mrenclave?"),
    ],
)
def test_each_issue_is_told_at_its_place(text: str, issue: str) -> None:
    """With line and column, and the nearest key for a typo."""
    with pytest.raises(PolicySyntaxError) as caught:
        parse_cases(text)
    (reason,) = (line for line in caught.value.reasons if issue in line)
    assert re.search(r"at line \d+ column \d+$", reason)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_file_raises_our_errors_alone(data: st.DataObject) -> None:
    """Any text, and any change to a good one."""
    text = _block("cases.yml")
    position = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 30))
    damaged = text[:position] + data.draw(st.text(max_size=5)) + text[position + length :]
    try:
        parse_cases(damaged)
    except BannockError:
        return
