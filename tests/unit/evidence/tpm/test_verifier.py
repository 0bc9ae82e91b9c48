"""What quotes of TPMs prove: genuine keys that an authority vouches for, and every attack on the way there."""

from __future__ import annotations

import dataclasses
import datetime as dt
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import ActivationError, EvidenceError
from bannock.evidence.attester import key_binding
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import TpmQuote
from bannock.evidence.rehearsal.boot import event_log, first_events
from bannock.evidence.rehearsal.tpm import quoted_by
from bannock.evidence.tpm.certificates import load_certificate
from bannock.evidence.tpm.event_log import EventLog
from bannock.evidence.tpm.keys import AK_USAGE, EK_USAGE, certified, encoded, require_attestation_certificate
from bannock.evidence.tpm.public import Public
from bannock.evidence.tpm.quoted import pcrs_to_json
from bannock.evidence.tpm.verifier import verify_tpm
from tests.unit.evidence.tpm.samples import AT, MACHINE, Authority, cloud_quotes

if TYPE_CHECKING:
    from bannock.evidence.appraisal import PlatformAppraisal

_LAS: Final = b"the public key of a LAS"
_KEY: Final = ec.derive_private_key(7, ec.SECP256R1())
_LOG: Final = event_log(first_events(secure_boot=True))
_VALUES: Final = EventLog.parse(_LOG).replay("sha256")
_AUTHORITY: Final = Authority()


def _usage(*, signs: bool = False, encrypts: bool = False, certifies: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs, content_commitment=False, key_encipherment=encrypts, data_encipherment=False,
        key_agreement=False, key_cert_sign=certifies, crl_sign=certifies, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _quote(*certificates: x509.Certificate, **changes: Any) -> TpmQuote:
    attest, signature, public = quoted_by(_KEY, key_binding(_LAS)[:32], _VALUES)
    quote = TpmQuote(
        key=_LAS,
        attest=attest,
        signature=signature,
        ak_public=public,
        ak_certificates=tuple(each.public_bytes(Encoding.DER) for each in certificates),
        pcrs=pcrs_to_json({"sha256": _VALUES}),
        event_log=_LOG,
    )
    return dataclasses.replace(quote, **changes)


def _issued(**how: Any) -> x509.Certificate:
    return _AUTHORITY.issue(_KEY.public_key(), **how)


def _verify(
    quote: TpmQuote, *, roots: tuple[bytes, ...] = (_AUTHORITY.root,), at: dt.datetime = AT, **more: Any
) -> PlatformAppraisal:
    return verify_tpm(quote, Endorsements(roots=roots, **more), at)


def _refused(quote: TpmQuote, reason: str, **how: Any) -> None:
    with pytest.raises(EvidenceError) as refused:
        _verify(quote, **how)
    assert reason in "\n".join((str(refused.value), *refused.value.reasons))


def test_a_quote_of_a_key_that_an_authority_vouches_for() -> None:
    """All that it proves: registers, Secure Boot, the machine, and until when."""
    proven = _verify(_quote(_issued()))
    assert (proven.platform, proven.genuine, proven.debug) == ("tpm", True, False)
    assert proven.report_data == key_binding(_LAS)[:32]
    registers = {f"pcr.sha256.{index}": value.hex() for index, value in _VALUES.items()}
    assert proven.machine == registers | {"secure_boot": "true"}
    assert proven.machine_id == MACHINE
    assert min(proven.bounds).until == AT + dt.timedelta(days=30)
    assert "protects no memory" in proven.warnings[0]
    assert all(line.strip().startswith(("ok", "info")) for each in proven.findings for line in each.lines())


# Google's authority has a name that is longer than X.520 allows.
@pytest.mark.filterwarnings("ignore:Attribute's length must be:UserWarning")
def test_a_genuine_key_of_a_cloud() -> None:
    """Its quotes over SHA-256 and SHA-384; the nonce is not ours, so it is refused for that, and for nothing else."""
    public, (weak, *strong), certificate = cloud_quotes()
    for quote in (weak, *strong):
        made = _quote(
            attest=quote.attest,
            signature=quote.signature,
            ak_public=public,
            pcrs=pcrs_to_json(quote.pcrs),
            event_log=b"",
        )
        _refused(made, "is bound to 2 bytes, expected 32")
    certified_key = load_certificate(certificate, "the certificate of the cloud")
    require_attestation_certificate(certified_key)
    assert certified(certified_key) == encoded(Public.parse(public).key)


def test_a_key_that_nobody_vouches_for_has_to_be_activated() -> None:
    """Without a certificate, with one of another key, of an unknown authority, or one that has expired."""
    other = _AUTHORITY.issue(ec.generate_private_key(ec.SECP256R1()).public_key())
    unknown = Authority("unknown").issue(_KEY.public_key())
    for quote, reason, at in (
        (_quote(), "it came without a certificate of its own", AT),
        (_quote(other), "it came without a certificate of its own", AT),
        (_quote(unknown), "no authority that is known here has issued", AT),
        (_quote(_issued()), "is valid from", AT + dt.timedelta(days=31)),
        (_quote(_issued()), "is valid from", AT - dt.timedelta(days=2)),
    ):
        with pytest.raises(ActivationError, match="has to be activated") as refused:
            _verify(quote, at=at)
        assert reason in refused.value.reasons[0]
        assert refused.value.challenge is None


def test_of_several_certificates_one_that_holds_is_enough() -> None:
    """A LAS has certificates of every CAS that it has been activated by."""
    foreign, expired = Authority("of another CAS").issue(_KEY.public_key()), _issued(days=(-3, -2))
    assert _verify(_quote(foreign, expired, _issued())).genuine


def test_a_make_believe_authority_is_told_from_a_trusted_one() -> None:
    """Its root came along: what it vouches for is not genuine; beside a trusted one it does no harm."""
    authority = Authority("make-believe")
    certificate = authority.issue(_KEY.public_key())
    proven = _verify(_quote(certificate, authority.certificate))
    assert not proven.genuine
    assert _verify(_quote(certificate, authority.certificate, _issued())).genuine
    # It is not even that if its own rules do not hold.
    _refused(_quote(certificate, authority.certificate), "is valid from", at=AT + dt.timedelta(days=40))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"usage": None}, "is not one of an attestation key"),
        ({"usage": EK_USAGE}, "is not one of an attestation key"),
        ({"usage": EK_USAGE, "key_usage": _usage(encrypts=True)}, "is not one of an attestation key"),
        ({"usage": EK_USAGE, "key_usage": _usage(signs=True, encrypts=True)}, "is not one of an attestation key"),
        ({"usage": AK_USAGE, "ca": True}, "is not one of an attestation key"),
        ({"extension": x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")}, "1.2.3 that binds"),
    ],
)
def test_certificates_for_something_else_vouch_for_nothing(how: dict[str, Any], reason: str) -> None:
    """The same key, the right issuer, and another purpose."""
    _refused(_quote(_issued(**how)), reason)


def test_a_cloud_may_certify_its_attestation_keys_as_endorsement_keys_that_sign() -> None:
    """As Google does."""
    assert _verify(_quote(_issued(usage=EK_USAGE, key_usage=_usage(signs=True)))).genuine


def test_intermediate_authorities() -> None:
    """They come along, or are at hand; each has to be an authority, and no deeper than the one above it allows."""
    middle = Authority("middle", of=_AUTHORITY)
    certificate = middle.issue(_KEY.public_key())
    assert _verify(_quote(certificate, middle.certificate)).genuine
    assert _verify(_quote(certificate), certificates=(middle.root,)).genuine
    _refused(_quote(certificate), "no authority that is known here")
    for how, reason in (
        ({"ca": False}, "may not issue certificates"),
        ({"key_usage": _usage(signs=True)}, "may not sign certificates"),
        ({"days": (-5, -2)}, "is valid from"),
    ):
        wrong = Authority("wrong", of=_AUTHORITY, **how)
        _refused(_quote(wrong.issue(_KEY.public_key()), wrong.certificate), reason)
    flat = Authority("flat", of=_AUTHORITY, path_length=0)
    assert _verify(_quote(flat.issue(_KEY.public_key()), flat.certificate)).genuine
    deep = Authority("deep", of=flat)
    _refused(_quote(deep.issue(_KEY.public_key()), deep.certificate, flat.certificate), "or not so many below it")


def test_a_certificate_that_only_looks_like_one_of_the_authority_is_refused() -> None:
    """The same name, and another key; many of them cost no more than a bound."""
    impostors = [Authority() for _ in range(3)]
    assert all(each.name == _AUTHORITY.name for each in impostors)
    for each in impostors:
        _refused(_quote(each.issue(_KEY.public_key())), "no authority that is known here")
        # Its own root is along, so it is make-believe, and nothing else.
        assert not _verify(_quote(each.issue(_KEY.public_key()), each.certificate)).genuine


def test_a_loop_of_authorities_ends() -> None:
    """Two keys of one name that certify each other."""
    one, two = Authority("loop"), Authority("loop")
    crossed = [one.issue(two.key.public_key(), subject=one.name, ca=True, usage=None) for _ in range(20)]
    crossed += [two.issue(one.key.public_key(), subject=one.name, ca=True, usage=None) for _ in range(20)]
    _refused(_quote(one.issue(_KEY.public_key()), *crossed), "no authority that is known here")


def test_a_revoked_certificate_is_refused() -> None:
    """By the newest list of its issuer; one that has expired says nothing, so nothing is believed."""
    certificate = _issued()
    empty, later = _AUTHORITY.revoke(), _AUTHORITY.revoke(certificate, days=(0, 6))
    proven = _verify(_quote(certificate), crls=(empty,))
    assert min(proven.bounds).until == AT + dt.timedelta(days=7)
    _refused(_quote(certificate), "was revoked by CN=authority", crls=(empty, later))
    _refused(_quote(certificate), "was revoked by CN=authority", crls=(later, empty))
    _refused(_quote(certificate), "has expired: nextUpdate", crls=(_AUTHORITY.revoke(days=(-9, -1)),))
    # Lists of others, or of an impostor, say nothing.
    impostor = Authority().revoke(certificate)
    assert _verify(_quote(certificate), crls=(impostor, b"no list", Authority("other").revoke(certificate))).genuine
    # A newer one that has only what has changed since does not hide what was revoked before.
    changes = _AUTHORITY.revoke(days=(0, 7), extension=x509.DeltaCRLIndicator(1))
    _refused(_quote(certificate), "was revoked by", crls=(changes, _AUTHORITY.revoke(certificate)))
    middle = Authority("middle", of=_AUTHORITY)
    quote = _quote(middle.issue(_KEY.public_key()), middle.certificate)
    _refused(quote, "was revoked by CN=authority", crls=(_AUTHORITY.revoke(middle.certificate),))


def test_a_signature_that_is_not_of_whole_bytes_is_refused() -> None:
    """No bit of a certificate or a list goes by without being looked at."""
    certificate, crl = _issued(), _AUTHORITY.revoke()
    quote = _quote(certificate)
    for bit in (1, 3, 7):
        changed = _with_unused_bits(certificate.public_bytes(Encoding.DER), bit)
        _refused(dataclasses.replace(quote, ak_certificates=(changed,)), "without a certificate of its own")
        told = _verify(quote, crls=(_with_unused_bits(crl, bit),)).findings[0].lines()
        assert any("there is no list of certificates" in line for line in told)


def _with_unused_bits(signed: bytes, count: int) -> bytes:
    """Say of a signature that its last bits do not count; it is the last element, of less than 128 bytes."""
    at = max(place for place in range(60, 80) if signed[-place - 2] == 0x03 and signed[-place - 1] == place)
    return signed[:-at] + bytes([count]) + signed[len(signed) - at + 1 :]


def test_a_weak_signature_vouches_for_nothing() -> None:
    """An authority that signs with a hash of 224 bits."""
    _refused(_quote(_issued(algorithm=hashes.SHA224())), "with a hash that is weak")


@pytest.mark.parametrize("part", ["attest", "signature", "ak_public", "pcrs", "event_log"])
def test_every_changed_bit_of_a_quote_is_refused(part: str) -> None:
    """In every field; but in the log, whose unmeasured parts tell nothing: there what is proven stays the same."""
    quote = _quote(_issued())
    proven = _verify(quote)
    data: bytes = getattr(quote, part)
    for bit in range(0, 8 * len(data), {"event_log": 23, "pcrs": 7}.get(part, 1)):
        changes: dict[str, Any] = {part: _flipped(data, bit)}
        try:
            after = _verify(dataclasses.replace(quote, **changes))
        except EvidenceError:
            continue
        assert part in ("event_log", "ak_public"), bit
        told = dict(after.machine)
        assert told.pop("secure_boot", "true") == "true"
        assert told.items() <= proven.machine.items()
        assert after.debug is False


def test_every_changed_bit_of_a_certificate_or_a_list_is_refused() -> None:
    """A certificate vouches for nothing then; and a list that is changed is none."""
    certificate, crl = _issued(), _AUTHORITY.revoke()
    encoded = certificate.public_bytes(Encoding.DER)
    for bit in range(0, 8 * len(encoded), 11):
        quote = dataclasses.replace(_quote(), ak_certificates=(_flipped(encoded, bit),))
        with pytest.raises(ActivationError):
            _verify(quote)
    for bit in range(0, 8 * len(crl), 7):
        told = _verify(_quote(certificate), crls=(_flipped(crl, bit),)).findings[0].lines()
        assert any("there is no list of certificates" in line for line in told), bit


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(st.binary(max_size=400), st.integers(0, 3))
def test_certificates_of_any_bytes_are_read_or_refused(data: bytes, place: int) -> None:
    """Wherever they come from: the quote, what is at hand, or what is trusted."""
    quote = dataclasses.replace(_quote(), ak_certificates=(data,)) if place == 0 else _quote(_issued())
    known = Endorsements(
        roots=(_AUTHORITY.root, data) if place == 3 else (_AUTHORITY.root,),
        certificates=(data,) if place == 1 else (),
        crls=(data,) if place == 2 else (),
    )
    with suppress(EvidenceError):
        verify_tpm(quote, known, AT)


def test_registers_and_quotes_of_two_machines_do_not_mix() -> None:
    """Values, quote or log of another start, each with a genuine rest."""
    other = event_log(first_events(secure_boot=False))
    values = EventLog.parse(other).replay("sha256")
    attest, signature, _ = quoted_by(_KEY, key_binding(_LAS)[:32], values)
    certificate = _issued()
    _refused(_quote(certificate, pcrs=pcrs_to_json({"sha256": values})), "do not give the digest")
    _refused(_quote(certificate, attest=attest), "does not verify")
    _refused(_quote(certificate, attest=attest, signature=signature), "do not give the digest")
    _refused(_quote(certificate, event_log=other), "of another start of the machine")


def test_a_key_outside_of_a_tpm_is_refused() -> None:
    """Its public area says what it is; and if it lies, nobody vouches for it."""
    attest, signature, public = quoted_by(_KEY, key_binding(_LAS)[:32], _VALUES, 0x00040440)
    _refused(_quote(_issued(), attest=attest, signature=signature, ak_public=public), "is no attestation key")
    outside = ec.generate_private_key(ec.SECP256R1())
    attest, signature, public = quoted_by(outside, key_binding(_LAS)[:32], _VALUES)
    quote = _quote(_issued(), attest=attest, signature=signature, ak_public=public)
    _refused(quote, "it has to be activated")
