"""Errors travel: what may be told arrives on the other side, and the rest stays here."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import (
    ActivationError,
    BannockError,
    Bug,
    ConflictError,
    DeniedError,
    EnvironmentFault,
    EvidenceError,
    InputError,
    IntegrityError,
    Issue,
    NotFoundError,
    PeerError,
    PolicySyntaxError,
    RollbackError,
)
from bannock.net.problem import challenge_in, from_problem, to_problem


@pytest.mark.parametrize(
    ("error", "status", "family"),
    [
        (InputError("x"), 400, InputError),
        (PolicySyntaxError("x", [Issue(line=1, column=2, path="a", message="m")]), 400, InputError),
        (PeerError("x"), 400, InputError),
        (EvidenceError("x"), 403, DeniedError),
        (DeniedError("x"), 403, DeniedError),
        (NotFoundError("x"), 404, NotFoundError),
        (ConflictError("x"), 409, ConflictError),
        (IntegrityError("x"), 500, PeerError),
        (RollbackError("x"), 500, PeerError),
        (Bug("x"), 500, PeerError),
        (BannockError("x"), 500, PeerError),
        (EnvironmentFault("x"), 503, EnvironmentFault),
    ],
)
def test_each_family_has_its_status(error: BannockError, status: int, family: type[BannockError]) -> None:
    """A family of errors has one status, and a client raises the family that the status stands for."""
    found, document = to_problem(error, request_id="r1")
    assert found == document["status"] == status
    assert document["type"] == f"urn:bannock:error:{error.kind}"
    assert type(from_problem(status, json.dumps(document).encode())) is family


def test_reasons_causes_and_hint_arrive() -> None:
    """The whole chain is told to the client, and msg[0] is the message."""
    error = DeniedError("attestation was refused", hint="check the measurement")
    error.__cause__ = DeniedError("not trustworthy", reasons=["Error 1 of 2: a", "Error 2 of 2: b"])
    status, document = to_problem(error, request_id="r1")
    assert document["msg"] == ["attestation was refused", "not trustworthy", "Error 1 of 2: a", "Error 2 of 2: b"]
    told = from_problem(status, json.dumps(document).encode())
    assert (told.message, told.hint) == (error.message, error.hint)
    assert isinstance(told.__cause__, DeniedError)
    assert told.__cause__.reasons == ("Error 1 of 2: a", "Error 2 of 2: b")


def test_foreign_causes_are_not_told() -> None:
    """The message of an exception that is not ours may hold anything, so it stays here."""
    error = InputError("it is not JSON")
    error.__cause__ = ValueError("canary")
    assert "canary" not in json.dumps(to_problem(error, request_id="r1"))


def test_a_challenge_arrives() -> None:
    """Of an error, or of what it is caused by; and of no other answer."""
    activation = ActivationError("the key is not known", challenge=b"prove it")
    wrapped = DeniedError("no")
    wrapped.__cause__ = activation
    for error in (activation, wrapped):
        status, document = to_problem(error, request_id="1")
        assert status == 403
        assert challenge_in(json.dumps(document).encode()) == b"prove it"
        assert "prove it" not in str(from_problem(status, json.dumps(document).encode()))
    _, document = to_problem(ActivationError("the key is not known"), request_id="1")
    assert challenge_in(json.dumps(document).encode()) is None


@given(st.binary(max_size=80) | st.sampled_from([b"[]", b'{"challenge": 1}', b'{"challenge": "*"}', b"[" * 10_000]))
def test_any_answer_has_a_challenge_or_none(body: bytes) -> None:
    """Whatever is in it."""
    assert challenge_in(body) is None
    assert challenge_in(b'{"challenge": "%b"}' % (b"A" * 40_000)) is None


def test_our_faults_are_told_as_a_request_id_alone() -> None:
    """A client learns nothing of what failed inside the service."""
    error = IntegrityError("row canary of /srv/canary does not open", reasons=["canary"], hint="canary")
    error.__cause__ = InputError("canary")
    _, document = to_problem(error, request_id="r77")
    assert "canary" not in json.dumps(document)
    assert "r77" in str(document["detail"])


@given(
    st.integers(100, 599),
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["detail", "msg", "causes", "reasons", "hint"]) | st.text(), inner)
        ),
        max_leaves=8,
    ).map(lambda item: json.dumps(item).encode()),
)
def test_any_answer_becomes_an_error(status: int, body: bytes) -> None:
    """Whatever a service answers, the client has one of our errors with a message that a terminal can show."""
    error = from_problem(status, body)
    assert error.message
    assert error.message.isprintable()
