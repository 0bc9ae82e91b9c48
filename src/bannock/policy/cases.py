"""Cases: questions to a session with the answers that are expected, so that a policy is tested like code.

Pure. A case asks whether an enclave gets the configuration of a service, or whether somebody may do something with the
session; what decides is what decides in a CAS. Values of secrets come from the session or from the file of cases.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, assert_never

from bannock.errors import BannockError, DeniedError, EvidenceError, InputError
from bannock.policy.access import decide_access
from bannock.policy.access_token import Side, prove_access_token, verify_access_token
from bannock.policy.binding import bind_session
from bannock.policy.canonical import canonical_json
from bannock.policy.decide import decide_enclave
from bannock.policy.one_time_password import OneTimePasswords, shared_secret, verify_one_time_password
from bannock.policy.resolved import ResolvedSecrets
from bannock.policy.secret_specs import ExplicitValue, FragmentValue
from bannock.policy.secret_values import SecretValue
from bannock.policy.template import Placeholder, SecretKind
from bannock.values import Secret

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bannock.policy.access import AccessSubject, Operation
    from bannock.policy.canonical import JsonValue
    from bannock.policy.claims import Claims
    from bannock.policy.secret_specs import SecretSpec
    from bannock.policy.session import Session
    from bannock.values import KeyHash

__all__ = ["Case", "ClientQuestion", "Outcome", "Recorded", "StartQuestion", "no_recorded_evidence", "run_case"]

#: In place of what a TLS connection would give both sides.
_EXPORTER: Final = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Evidence that was recorded.

    Attributes:
        file: that it is in, as the file of cases names it.
        at: the time of the verdict.
        collateral: directories of what vendors vouch for.
        roots: files of certificates that are trusted beside the vendors' own.
        changed: claims by name that the case says otherwise.
    """

    file: str
    at: dt.datetime
    collateral: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    changed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartQuestion:
    """Whether an enclave gets the configuration of a service.

    Attributes:
        claims: what its evidence says, or the evidence.
        at: when it asks.
        one_time_password: that it brings, if any.
        access_token: the service access token that it was started with, if any.
    """

    service: str
    claims: Claims | Recorded
    at: dt.datetime
    one_time_password: str | None = None
    access_token: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientQuestion:
    """Whether somebody may do something with the session that a creator made."""

    operation: Operation
    subject: AccessSubject
    creator: KeyHash


Question: TypeAlias = StartQuestion | ClientQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question and its expected answer.

    Attributes:
        name: for people.
        line: where it is in its file.
        granted: whether the answer is yes.
        reasons: texts that the reasons of a refusal have to hold, each in some line of them.
    """

    name: str
    line: int
    question: Question
    granted: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a session answered.

    Attributes:
        told: why it refused, as the other side would learn it, and then the reasons for the operator alone.
        missing: expected reasons that it did not give.
    """

    case: Case
    granted: bool
    told: tuple[str, ...] = field(default=())
    missing: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether the answer is the expected one."""
        return self.granted == self.case.granted and not self.missing


def no_recorded_evidence(recorded: Recorded) -> Claims:
    """Refuse to appraise.

    Raises:
        InputError: always.
    """
    raise InputError(f"recorded evidence {recorded.file[:128]!r} cannot be appraised here")


def run_case(
    session: Session,
    case: Case,
    secrets: Mapping[str, JsonValue],
    *,
    appraise: Callable[[Recorded], Claims] = no_recorded_evidence,
) -> Outcome:
    """Ask a session.

    Args:
        session: as it was parsed.
        case: what to ask.
        secrets: values by name, for secrets whose values the session does not have: text in the form that explicit
            values have, or a structure for a fragment.
        appraise: says what recorded evidence proves, without the changes of the case. That it proves nothing
            (:class:`~bannock.errors.EvidenceError`) is an answer; every other error is raised.
    """
    values = _values(session, secrets)
    errors = list(_errors(session, case.question, values, appraise))
    told = tuple(line for error in errors for line in _lines(error))
    missing = tuple(text for text in case.reasons if not any(text in line for line in told))
    return Outcome(case=case, granted=not errors, told=told, missing=() if case.granted else missing)


def _errors(
    session: Session, question: Question, values: ResolvedSecrets, appraise: Callable[[Recorded], Claims]
) -> Iterator[BannockError]:
    """Give every reason to refuse; a CAS stops at the first of them."""
    match question:
        case StartQuestion():
            yield from _start_errors(session, question, values, appraise)
        case ClientQuestion():

            def secret(name: str) -> Secret | None:
                try:
                    return Secret(values.render(Placeholder(name=name)))
                except BannockError:
                    return None

            try:
                bound = bind_session(session, values.structure)
                decide_access(bound, question.operation, question.subject, question.creator, secret=secret)
            except BannockError as error:
                yield error
        case _:
            assert_never(question)


def _start_errors(
    session: Session, question: StartQuestion, values: ResolvedSecrets, appraise: Callable[[Recorded], Claims]
) -> Iterator[BannockError]:
    for check in (_check_password, _check_token):
        try:
            check(session, question, values)
        except BannockError as error:
            yield error
    try:
        claims = _claims(question.claims, appraise)
    except EvidenceError as error:
        yield error
        return
    try:
        decide_enclave(bind_session(session, values.structure), question.service, claims)
    except BannockError as error:
        yield error


def _claims(said: Claims | Recorded, appraise: Callable[[Recorded], Claims]) -> Claims:
    return replace(appraise(said), **said.changed) if isinstance(said, Recorded) else said


def _check_password(session: Session, question: StartQuestion, values: ResolvedSecrets) -> None:
    written = session.service(question.service).one_time_password_secret or session.security.one_time_password_secret
    if written is not None:
        secret = shared_secret(Secret(written.fill(values.render)))
        verify_one_time_password(secret, question.one_time_password, at=question.at, used=OneTimePasswords())


def _check_token(session: Session, question: StartQuestion, _values: ResolvedSecrets) -> None:
    token, brought = session.security.service_access_token, question.access_token
    if token is not None:
        proof = None if brought is None else prove_access_token(brought, Side.SERVICE, _EXPORTER)
        verify_access_token(token, Side.SERVICE, _EXPORTER, proof)


def _values(session: Session, given: Mapping[str, JsonValue]) -> ResolvedSecrets:
    return ResolvedSecrets(secrets={spec.name: _value(spec, given) for spec in session.secrets})


def _value(spec: SecretSpec, given: Mapping[str, JsonValue]) -> SecretValue | BannockError:
    found: JsonValue = given.get(spec.name)
    kind = spec.kind
    if found is None:
        match spec.source:
            case ExplicitValue() if kind is not None:
                return SecretValue(kind=kind, value=spec.source.value, generated=False)
            case FragmentValue():
                found, kind = spec.source.value, SecretKind.CONFIG_FRAGMENT
    if found is None:
        return DeniedError(f"the cases give secret {spec.name} no value")
    if kind is None:
        kind = SecretKind.ASCII if isinstance(found, str) else SecretKind.CONFIG_FRAGMENT
    if kind is SecretKind.CONFIG_FRAGMENT:
        return SecretValue(kind=kind, value=Secret(canonical_json(found)), generated=False)
    try:
        data = bytes.fromhex(str(found)) if kind is SecretKind.BINARY else str(found).encode("utf-8")
    except ValueError:
        return DeniedError(f"the value that the cases give binary secret {spec.name} is not hexadecimal")
    return SecretValue(kind=kind, value=Secret(data), generated=False)


def _lines(error: BannockError) -> Sequence[str]:
    hints = [] if error.hint is None else [f"hint: {error.hint}"]
    return [error.message, *error.reasons, *error.withheld, *hints]
