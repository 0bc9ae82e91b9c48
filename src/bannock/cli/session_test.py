"""``scone session test``: ask a session the questions of a file, and compare the answers."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.options import add_json, as_json
from bannock.cli.session_options import variables_of
from bannock.errors import DeniedError, InputError, PolicySyntaxError
from bannock.files import read_bounded
from bannock.policy.case_file import parse_cases
from bannock.policy.cases import run_case
from bannock.policy.signing import Form
from bannock.remote.recorded_evidence import appraise_file
from bannock.remote.session_file import open_signed, prepare, read_session_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bannock.policy.case_file import CaseFile
    from bannock.policy.cases import Outcome

__all__ = ["main"]

_DESCRIPTION: Final = """\
Ask a session file the questions of a file of cases ("this evidence: granted", "this client may update: refused"), and
compare its answers with the expected ones, so that a policy is tested like code. What answers is what answers in a
CAS; no CAS is asked. The form of the file is in docs/session-test.md."""
_EXAMPLES: Final = """\
  scone session test session-cases.yml
  scone session test --session session.yml -e MRENCLAVE=$(SCONE_HASH=1 bannock run -- /app) cases/*.yml
  scone session test --verbose session-cases.yml
      the reasons of every refusal, also of those that were expected"""

_BYTES_MAX: Final = 1 << 20


def main(arguments: Sequence[str]) -> int:
    """Parse, ask, print; the exit code is that of a refusal where an answer is not the expected one."""
    parser = SconeParser("session test", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file of cases (YAML)")
    parser.add_argument("--session", metavar="FILE", help="the session file, instead of the one that FILE names")
    parser.add_argument(
        "-e", action="append", default=[], dest="variables", metavar="VAR=VALUE", help="the value of a variable"
    )
    parser.add_argument("--use-env", action="store_true", help="take variables from the environment, too")
    parser.add_argument("--verbose", action="store_true", help="show the reasons of every refusal")
    add_json(parser, "the answers")
    parsed = parser.parse(arguments)
    given = variables_of(parsed)
    documents: list[dict[str, object]] = []
    failed = 0
    for path in parsed.files:
        for outcome in _run(path, parsed.session, given):
            documents.append(_document(path, outcome))
            failed += not outcome.passed
            for line in () if parsed.as_json else _told(path, outcome, verbose=parsed.verbose):
                sys.stdout.write(f"{line}\n")
    asked = len(documents)
    sys.stdout.write(as_json(documents) if parsed.as_json else f"{asked} cases, {failed} failed\n")
    if failed:
        raise DeniedError(f"{failed} of {asked} cases have another answer than the expected one")
    return 0


def _run(path: Path, session_file: str | None, given: Mapping[str, str]) -> Iterator[Outcome]:
    cases = _read(path)
    named = session_file
    if named is None:
        if cases.session is None:
            raise InputError(f"{path} names no session", hint="add session: FILE to it, or the option --session")
        named = str(path.parent / cases.session)
    file = read_session_file(named)
    _, session = open_signed(file) if file.form is Form.SIGNED else prepare(file, {**cases.variables, **given})
    for case in cases.cases:
        yield run_case(session, case, cases.secrets, appraise=functools.partial(appraise_file, path.parent))


def _read(path: Path) -> CaseFile:
    try:
        return parse_cases(read_bounded(path, _BYTES_MAX).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"the file of cases {path} is UTF-8 text, byte {error.start} is not") from None
    except PolicySyntaxError as error:
        issues = [replace(issue, path=f"{path}: {issue.path}") for issue in error.issues]
        raise PolicySyntaxError(error.message, issues) from None


def _told(path: Path, outcome: Outcome, *, verbose: bool) -> Iterator[str]:
    case = outcome.case
    answer = "granted" if outcome.granted else "refused"
    if outcome.passed:
        yield f"ok      {case.name}: {answer}"
    else:
        expected = "granted" if case.granted else "refused"
        yield f"FAILED  {case.name}: {answer}, expected {expected} ({path}:{case.line})"
        yield from (f"          expected reason: {missing}" for missing in outcome.missing)
    if not outcome.granted and (verbose or not outcome.passed):
        yield from (f"          {line}" for line in outcome.told)


def _document(path: Path, outcome: Outcome) -> dict[str, object]:
    return {
        "file": str(path),
        "line": outcome.case.line,
        "case": outcome.case.name,
        "passed": outcome.passed,
        "expected": "granted" if outcome.case.granted else "refused",
        "answer": "granted" if outcome.granted else "refused",
        "reasons": list(outcome.told),
        "missing_reasons": list(outcome.missing),
    }
