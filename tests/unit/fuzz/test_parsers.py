"""Whatever comes from outside is taken or refused with an error that says so; nothing else ever happens.

Each parser gets what it is for, changed a little in every way that bytes and texts can be changed.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bannock.cas.audit.entry import EMPTY, Event, Transaction, sign_entry
from bannock.cas.audit.findings import Outcome
from bannock.cas.audit.verification import link_of, numbers, split_lines, verify_log
from bannock.cas.config import load_config
from bannock.errors import BannockError
from bannock.evidence.attester import SimAttester
from bannock.evidence.report import Report, report_data
from bannock.evidence.verifier import verify as verify_evidence
from bannock.net.address import Address
from bannock.net.problem import from_problem
from bannock.net.tls import Identity
from bannock.policy import encryption, signing
from bannock.policy.configuration import Configuration, InjectedFile, VolumeMount
from bannock.policy.parse import parse_session
from bannock.policy.template import Template
from bannock.values import FspfKey, FspfTag, KeyHash, Measurement, Secret
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_DATA: Final = report_data(b"n" * 32, b"e" * 32, KeyHash(b"k" * 32))
_REPORT: Final = Report(
    measurement=Measurement(b"m" * 32), signer=Measurement(bytes(32)), product_id=7, svn=3, debug=False, data=_DATA
)
_SIGNER: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_READER: Final = ec.derive_private_key(7, ec.SECP256R1())
_NOW: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_CONFIGURATION: Final = Configuration(
    argv=("/bin/app", "x"),
    environment={"A": "b"},
    working_directory="/",
    volumes=(VolumeMount(name="v", path="/v", key=FspfKey(bytes(32)), tag=FspfTag(bytes(16))),),
    files=(InjectedFile(path="/etc/f", content=Secret(b"text"), mode=0o600),),
).to_json()
#: What parsers stumble over, put in at any place.
_TOKENS: Final = (
    *(
        b"\x00",
        b"\xff\xfe",
        b"$$",
        b"$$SCONE::",
        b"${",
        b"&a",
        b"*a",
        b"- ",
        b": ",
        b"[",
        b"{",
        b"]",
        b"}",
        b'"',
        b"'",
    ),
    *(b"\n  ", b"\t", b"!!python/object:os.system", b"<<", b"1e999", b"-0", b"99999999999999999999", b"null", b"../"),
    *(b"%00", b"\xf0\x9f\x92\xa9", b"\\u0000", b"=", b".", b"-----BEGIN CERTIFICATE-----"),
)


@st.composite
def _damaged(draw: st.DrawFn, sample: bytes) -> bytes:
    data = bytearray(sample)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        upto = draw(st.integers(at, min(len(data), at + 64)))
        match draw(st.sampled_from(("put in", "cut", "repeat", "replace", "token"))):
            case "put in":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "cut":
                del data[at:upto]
            case "repeat":
                data[at:at] = data[at:upto] * draw(st.integers(1, 20))
            case "replace":
                data[at:upto] = draw(st.binary(max_size=16))
            case _:
                data[at:upto] = draw(st.sampled_from(_TOKENS))
    return bytes(data)


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


def _evidence(data: bytes) -> object:
    return verify_evidence(data, expected_report_data=_DATA, at=_NOW)


def _public_pem() -> bytes:
    return _SIGNER.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


_SIGNED: Final = signing.sign(document(), _SIGNER)
_PARSERS: Final[dict[str, tuple[bytes, Callable[[bytes], object]]]] = {
    "a session": (document().encode(), _text(lambda text: parse_session(text, variables={"HOME": "/root"}))),
    "a signed session": (_SIGNED.encode(), _text(signing.verify)),
    "an encrypted session": (
        encryption.encrypt(_SIGNED, _READER.public_key()).encode(),
        _text(lambda text: encryption.decrypt(text, _READER)),
    ),
    "a signer": (_public_pem(), signing.load_signer),
    "evidence": (SimAttester(_SIGNER).attest(_REPORT).to_json(), _evidence),
    "a configuration": (_CONFIGURATION, Configuration.from_json),
    "an identity": (Identity.generate("x").to_pem().reveal(), Identity.from_pem),
    "a problem": (
        b'{"type": "urn:x", "title": "t", "status": 403, "msg": ["no"]}',
        lambda data: from_problem(403, data),
    ),
    "an address": (b"[2001:db8::1]:8081", _text(lambda text: Address.parse(text, default_port=1))),
    "a key hash": (str(KeyHash(b"k" * 32)).encode(), _text(KeyHash.from_base58)),
    "a template": (b"a $$SCONE::name:hex|escape(json)$$ b", _text(Template.parse)),
}


@pytest.mark.parametrize("what", _PARSERS)
def test_what_is_whole_is_taken(what: str) -> None:
    """The samples are valid, so that damage is damage."""
    sample, parse = _PARSERS[what]
    parse(sample)


@pytest.mark.parametrize("what", _PARSERS)
@given(choice=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_damaged_is_taken_or_refused(what: str, choice: st.DataObject) -> None:
    """A parser raises errors of ours alone, each with a message."""
    sample, parse = _PARSERS[what]
    data = choice.draw(_damaged(sample))
    try:
        parse(data)
    except BannockError as error:
        assert str(error)  # noqa: PT017 - that it is raised is not required


@given(choice=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_configuration_file_is_taken_or_refused(tmp_path: Path, choice: st.DataObject) -> None:
    """The configuration of a CAS, likewise."""
    sample = b'database = "/x/cas.db"\n[api]\nlisten = "127.0.0.1:8081"\n[certificate]\nnames = ["a"]\n'
    path = tmp_path / "cas.toml"
    path.write_bytes(choice.draw(_damaged(sample)))
    try:
        load_config(path, home=tmp_path)
    except BannockError as error:
        assert str(error)  # noqa: PT017 - as above


_AUDIT_LINE: Final = sign_entry(
    _SIGNER,
    EMPTY,
    at=_NOW,
    cas=KeyHash(b"c" * 32),
    events=[Event(event="cas_started", facts={"list": ["a", "b"], "nothing": None, "text": "x"})],
).to_line()


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(_damaged(_AUDIT_LINE))
def test_lines_of_audit_logs(data: bytes) -> None:
    """A changed line is never authentic, whatever it holds, and nothing but a verdict comes of it."""
    lines = split_lines(data)
    verdict = verify_log(lines, expected=[KeyHash(b"c" * 32)], history=None)
    numbers(lines)
    assert [link_of(line) for line in lines if line == _AUDIT_LINE] == [
        Transaction.from_line(_AUDIT_LINE).link for line in lines if line == _AUDIT_LINE
    ]
    if any(line != _AUDIT_LINE for line in lines):
        assert verdict.outcome is Outcome.NOT_AUTHENTIC
