"""Files of cases: YAML in, cases or every issue at once out.

Pure. The keys are documented in ``docs/session-test.md``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError, Issue, PolicySyntaxError
from bannock.policy._case_evidence import EVIDENCE_KEYS, claims_of, given_claims
from bannock.policy._case_reader import Reader
from bannock.policy._document import Mapping, Sequence, compose, plain, repeated_keys
from bannock.policy.access import AccessSubject, key_of_certificate
from bannock.policy.cases import Case, ClientQuestion, Recorded, StartQuestion
from bannock.policy.signing import load_signer, signer_bytes
from bannock.values import KeyHash, Secret

if TYPE_CHECKING:
    import collections.abc

    from bannock.policy.access import Operation
    from bannock.policy.canonical import JsonValue
    from bannock.policy.claims import Claims

__all__ = ["CaseFile", "parse_cases"]

_FILE: Final = ("session", "variables", "secrets", "creator", "defaults", "cases")
_START: Final = (
    "name",
    "service",
    "evidence",
    "evidence_file",
    "collateral",
    "roots",
    "time",
    "one_time_password",
    "service_access_token",
    "expect",
)
_CLIENT: Final = ("name", "operation", "client", "certificate_hash", "signers", "creator", "expect")
_CREATOR: Final = KeyHash(hashlib.sha256(b"whoever creates the session").digest())
#: The time of cases that do not name one: a file says the same at every time it is run.
_WHEN: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A file of cases.

    Attributes:
        session: the session file, relative to this one; None where the caller names it.
        variables: for the session's template.
        secrets: values for secrets that the session does not have the values of.
    """

    session: str | None
    variables: collections.abc.Mapping[str, str]
    secrets: collections.abc.Mapping[str, JsonValue] = field(repr=False)
    cases: tuple[Case, ...]


def parse_cases(text: str) -> CaseFile:
    """Parse a file of cases.

    Raises:
        PolicySyntaxError: it is none; it carries every issue.
    """
    root = compose(text)
    if not isinstance(root, Mapping):
        raise PolicySyntaxError(
            "the file of cases has 1 issue",
            [Issue(line=root.line, column=root.column, path="", message="expected a mapping with cases")],
        )
    reader = Reader(root, "", _FILE)
    reader.issues += repeated_keys(root)
    creator = reader.read("creator", _key_hash) or _CREATOR
    head = reader.below("defaults", EVIDENCE_KEYS)
    defaults = given_claims(head)
    claims_of(head, defaults)
    found: list[Case] = []
    cases = root.get("cases")
    if not isinstance(cases, Sequence) or not cases.items:
        reader.add("cases", "expected a list of cases")
    else:
        for index, node in enumerate(cases.items):
            case = _case(reader.nested(node, f"cases[{index}]", {*_START, *_CLIENT}), defaults, creator)
            found += [case] if case is not None else []
    variables, secrets = root.get("variables"), root.get("secrets")
    parsed = CaseFile(
        session=reader.read("session", str),
        variables=MappingProxyType({key: str(value) for key, value in _plain(reader, "variables", variables).items()}),
        secrets=MappingProxyType(_plain(reader, "secrets", secrets)),
        cases=tuple(found),
    )
    if reader.issues:
        ordered = sorted(dict.fromkeys(reader.issues), key=lambda issue: (issue.line, issue.column))
        what = "1 issue" if len(ordered) == 1 else f"{len(ordered)} issues"
        raise PolicySyntaxError(f"the file of cases has {what}", ordered)
    return parsed


def _plain(reader: Reader, key: str, node: object) -> dict[str, JsonValue]:
    if node is None:
        return {}
    if not isinstance(node, Mapping):
        reader.add(key, "expected names and values")
        return {}
    values: dict[str, JsonValue] = plain(node)
    return values


def _case(case: Reader, defaults: collections.abc.Mapping[str, Any], creator: KeyHash) -> Case | None:
    about_service, about_client = case.has("service"), case.has("operation")
    if about_service == about_client:
        case.add("", "expected either service (may an enclave be it?) or operation (may a client do it?)")
        return None
    case.require_only(_START if about_service else _CLIENT)
    question = _start(case, defaults) if about_service else _client(case, creator)
    granted, reasons = _expected(case)
    asked = case.read("service" if about_service else "operation", str)
    name = case.read("name", str) or f"{'service ' if about_service else ''}{asked}"
    return Case(name=name, line=case.line, question=question, granted=granted, reasons=reasons)


def _start(case: Reader, defaults: collections.abc.Mapping[str, Any]) -> StartQuestion:
    token = case.read("service_access_token", str)
    evidence = case.below("evidence", EVIDENCE_KEYS)
    given = given_claims(evidence)
    at = case.read("time", _time)
    file = case.read("evidence_file", str)
    claims: Claims | Recorded
    if file is None:
        for key in ("collateral", "roots"):
            if case.has(key):
                case.add(key, "the key has no meaning without evidence_file")
        # What a case says goes before the defaults of the file.
        claims = claims_of(evidence, {**defaults, **given})
    else:
        if not case.has("time"):
            case.add("", "time is missing: what was recorded is good at its own time, and hardly at another")
        claims = Recorded(
            file=file,
            at=at or _WHEN,
            collateral=tuple(case.words("collateral", None)),
            roots=tuple(case.words("roots", None)),
            changed=given,
        )
    return StartQuestion(
        service=case.read("service", str) or "",
        claims=claims,
        at=at or _WHEN,
        one_time_password=case.read("one_time_password", str),
        access_token=None if token is None else Secret(token.encode("utf-8")),
    )


def _client(case: Reader, creator: KeyHash) -> ClientQuestion:
    creator = case.read("creator", _key_hash) or creator
    signers = frozenset(case.each("signers", lambda text: signer_bytes(load_signer(text.encode("utf-8")))))
    client = case.read("client", lambda text: creator if text == "CREATOR" else _key_hash(text))
    certificate = case.read("certificate_hash", str)
    if signers and (client is not None or certificate is not None):
        case.add("signers", "expected client or signers, not both: whoever carries a signed session is nobody")
    subject = AccessSubject(key_hash=client, certificate_pem_hash=certificate and certificate.lower(), signers=signers)
    return ClientQuestion(operation=case.read("operation", _operation) or "read", subject=subject, creator=creator)


def _expected(case: Reader) -> tuple[bool, tuple[str, ...]]:
    """Read ``granted``, ``refused``, or ``{refused: [REASON, ...]}``."""
    if case.has("expect") and case.is_mapping("expect"):
        refused = case.below("expect", ("refused",))
        return False, tuple(refused.words("refused", None))
    return (case.word("expect", ("granted", "refused"), required=True) or "granted") == "granted", ()


def _operation(text: str) -> Operation:
    operations: tuple[Operation, ...] = ("read", "update", "create_sessions")
    for operation in operations:
        if text == operation:
            return operation
    raise InputError(f"expected one of {', '.join(operations)}, found {text[:60]!r}")


def _key_hash(text: str) -> KeyHash:
    if text.startswith("-----BEGIN CERTIFICATE-----"):
        return key_of_certificate(text)
    return KeyHash.from_base58(text)


def _time(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"a time is like 2026-01-31T12:00:00Z, found {text[:40]!r}") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)
