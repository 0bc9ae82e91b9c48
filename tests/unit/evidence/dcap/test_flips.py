"""No bit of a quote or of its collateral can change, and no byte can be missing or be too much."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import EvidenceError
from bannock.evidence.dcap.chain import PckChain, require_binding, verify_qe_report, verify_quote_signature
from bannock.evidence.dcap.quote import QUOTE_BYTES_MAX, DcapQuote, pem_of
from bannock.evidence.dcap.verifier import verify_tdx
from bannock.evidence.quotes import TdxQuote
from tests.unit.evidence.dcap.samples import GOOD, NAMES, appraise, collateral, quote
from tests.unit.evidence.rehearsal.intel import AT, DATA, vendor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: In one of each kind many bytes are looked at, in the others here and there.
_MANY: Final = {"sgx-v3-swhardening", "tdx-v4-uptodate"}
#: Field → place and length, from the beginning of the quote; bodies of SGX and of TDX.
_HEADER: Final = {
    "version": (0, 2),
    "attestation key type": (2, 2),
    "TEE type": (4, 4),
    "security versions, or reserved": (8, 4),
    "QE vendor": (12, 16),
    "user data": (28, 20),
}
_SGX_BODY: Final = {
    "CPUSVN": (48, 16),
    "MISCSELECT": (64, 4),
    "reserved 1": (68, 28),
    "attributes": (96, 16),
    "MRENCLAVE": (112, 32),
    "reserved 2": (144, 32),
    "MRSIGNER": (176, 32),
    "reserved 3": (208, 96),
    "ISVPRODID": (304, 2),
    "ISVSVN": (306, 2),
    "reserved 4": (308, 60),
    "report data": (368, 64),
}
_TDX_BODY: Final = {
    "TEE TCB SVN": (48, 16),
    "MRSEAM": (64, 48),
    "MRSIGNERSEAM": (112, 48),
    "SEAM attributes": (160, 8),
    "TD attributes": (168, 8),
    "XFAM": (176, 8),
    "MRTD": (184, 48),
    "MRCONFIGID": (232, 48),
    "MROWNER": (280, 48),
    "MROWNERCONFIG": (328, 48),
    "RTMR0": (376, 48),
    "RTMR1": (424, 48),
    "RTMR2": (472, 48),
    "RTMR3": (520, 48),
    "report data": (568, 64),
}


def _fields(name: str) -> dict[str, tuple[int, int]]:
    """Give place and length of every field of a quote of version 3 or 4."""
    sgx = name.startswith("sgx")
    fields = _HEADER | (_SGX_BODY if sgx else _TDX_BODY)
    place = 432 if sgx else 632
    lengths = [("signature section", 4), ("signature", 64), ("attestation key", 64)]
    lengths += [] if sgx else [("kind 6", 2), ("length of kind 6", 4)]
    lengths += [("QE report", 384), ("QE report signature", 64), ("length of authentication data", 2)]
    lengths += [("authentication data", 32), ("kind 5", 2), ("length of kind 5", 4), ("certificates", 3500)]
    for field, length in lengths:
        fields[field] = place, length
        place += length
    return fields


def _flipped(data: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def _refused(verify: Callable[[], object], what: str) -> None:
    try:
        verify()
    except EvidenceError:
        return
    pytest.fail(f"a flipped bit of {what} goes unnoticed")


@pytest.mark.parametrize("name", GOOD)
def test_every_field(name: str) -> None:
    """A flipped bit at the beginning, in the middle and at the end of each field is refused."""
    data = quote(name)
    for field, (place, length) in _fields(name).items():
        for where, bit in ((place, 0), (place + length // 2, 3), (place + length - 1, 7)):
            changed = _flipped(data, where, bit)
            _refused(partial(appraise, name, changed), field)


def _signatures(data: bytes) -> None:
    """Verify what a quote says without what Intel says of it."""
    parsed = DcapQuote.parse(data)
    chain = PckChain.of(parsed.certificates)
    chain.require_signatures()
    verify_qe_report(parsed, chain.pck)
    require_binding(parsed)
    verify_quote_signature(parsed)


@pytest.mark.parametrize(
    ("data", "step"),
    [*((quote(each), 3 if each in _MANY else 17) for each in NAMES), (vendor().tdx_quote(DATA, version=5), 17)],
    ids=[*NAMES, "version 5"],
)
def test_bytes_everywhere(data: bytes, step: int) -> None:
    """A flipped bit in any byte is refused by the signatures alone, padding included."""
    _signatures(data)
    for place in range(0, len(data), step):
        changed = _flipped(data, place, place % 8)
        _refused(partial(_signatures, changed), f"byte {place}")


@pytest.mark.parametrize("extended", [False, True])
def test_every_field_of_version_5(*, extended: bool) -> None:
    """Version 5 says of its body what it is and how long: both are covered, and so are the fields of TDX 1.5."""
    intel = vendor()
    data = intel.tdx_quote(DATA, version=5, extended=extended)
    known = intel.endorsements()
    assert verify_tdx(TdxQuote(key=b"", quote=data), known, AT).report_data == DATA
    fields = {name: (place + 6, length) for name, (place, length) in _TDX_BODY.items()}
    fields |= _HEADER | {"kind of body": (48, 2), "length of body": (50, 4)}
    if extended:
        fields |= {"TEE TCB SVN 2": (638, 16), "MR_SERVICE_TD": (654, 48)}
    for field, (place, length) in fields.items():
        for where, bit in ((place, 0), (place + length // 2, 3), (place + length - 1, 7)):
            quote_5 = TdxQuote(key=b"", quote=_flipped(data, where, bit))
            _refused(partial(verify_tdx, quote_5, known, AT), field)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("name", GOOD)
def test_count_of_bits(name: str, index: int) -> None:
    """A certificate whose signature says that it has less bits than it has is refused, as no signature covers that."""
    data = quote(name)
    certificate = DcapQuote.parse(data).certificates[index]
    place = certificate.rindex(bytes.fromhex("2a8648ce3d040302")) + 10
    assert certificate[place] == 0
    changed = pem_of([_flipped(certificate, place, 0)]).encode()
    _refused(partial(appraise, name, data.replace(pem_of([certificate]).encode(), changed)), "a count of bits")


@pytest.mark.parametrize("name", GOOD)
def test_lengths(name: str) -> None:
    """A quote that is cut anywhere is refused; zeros may follow it, and nothing else, and not without end."""
    data = quote(name).rstrip(b"\0") + b"\0"
    _signatures(data)
    for end in (*range(0, len(data) - 1, 11), len(data) - 2):
        with pytest.raises(EvidenceError):
            DcapQuote.parse(data[:end])
    padded = data + bytes(QUOTE_BYTES_MAX - len(data))
    assert appraise(name, padded) == appraise(name)
    with pytest.raises(EvidenceError, match="at most 16384 bytes, found 16385"):
        appraise(name, padded + b"\0")
    with pytest.raises(EvidenceError, match="something else than zeros"):
        appraise(name, data + b"\1")
    with pytest.raises(EvidenceError, match="something else than zeros"):
        appraise(name, data + data)


def _parts(name: str) -> Iterator[tuple[str, bytes]]:
    """Give all that counts of a set of collateral, in bytes."""
    for key, text in json.loads(collateral(name)).items():
        if key == "pck_crl_issuer_chain":  # the chain of the quote is there already, and is the one that counts
            continue
        if key.endswith("chain"):
            for index, each in enumerate(x509.load_pem_x509_certificates(text.encode())):
                yield f"{key} {index}", each.public_bytes(Encoding.DER)
        elif key.endswith(("crl", "signature")):
            yield key, bytes.fromhex(text)
        else:
            yield key, text.encode()


def _with_part(name: str, part: str, data: bytes) -> str:
    document = json.loads(collateral(name))
    key, _, index = part.partition(" ")
    if index:
        chain = [each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(document[key].encode())]
        chain[int(index)] = data
        document[key] = pem_of(chain)
    elif key.endswith(("crl", "signature")):
        document[key] = data.hex()
    else:
        document[key] = data.decode("utf-8", "surrogateescape")
    return json.dumps(document)


@pytest.mark.parametrize("name", ["sgx-v3-swhardening", "tdx-v4-uptodate"])
def test_every_part_of_collateral(name: str) -> None:
    """A flipped bit anywhere in what Intel says is refused."""
    seen = set()
    for part, data in _parts(name):
        seen.add(part)
        step = max(1, len(data) // 25)
        for place in {*range(0, len(data), step), len(data) - 1}:
            changed = _with_part(name, part, _flipped(data, place, place % 7))
            _refused(partial(appraise, name, dcap=(changed,)), f"byte {place} of {part}")
    assert len(seen) == 10


@pytest.mark.parametrize("name", ["sgx-v3-swhardening", "tdx-v4-uptodate"])
def test_every_part_is_needed(name: str) -> None:
    """Collateral that lacks a part, or has another kind of value in it, is refused."""
    document = json.loads(collateral(name))
    for key in document:
        values: tuple[object, ...] = (None, 7, [], {}, "", "zz")
        for value in values:
            if key == "pck_crl_issuer_chain" and isinstance(value, str):
                continue
            with pytest.raises(EvidenceError):
                appraise(name, dcap=(json.dumps(document | {key: value}),))
        with pytest.raises(EvidenceError):
            appraise(name, dcap=(json.dumps({other: document[other] for other in document if other != key}),))
