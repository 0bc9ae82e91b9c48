"""Whatever bytes say, they are read or refused as evidence."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Final
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import EvidenceError
from bannock.evidence.dcap.certificates import Role, load_certificate, load_crl
from bannock.evidence.dcap.collateral import CollateralSet
from bannock.evidence.dcap.pck import PckIdentity
from bannock.evidence.dcap.quote import DcapQuote, pem_chain
from bannock.evidence.dcap.statements import QeIdentity, TcbInfo
from bannock.evidence.dcap.verifier import verify_tdx
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import TdxQuote
from bannock.evidence.rehearsal import intel_certificates
from bannock.evidence.rehearsal.intel_certificates import sgx_extension
from bannock.evidence.rehearsal.intel_collateral import raw_signature
from bannock.evidence.rehearsal.seeds import grown_p256_key
from tests.unit.evidence.dcap.samples import appraise, collateral, quote
from tests.unit.evidence.rehearsal.intel import AT, DATA, vendor

_QUOTES: Final = [quote(each) for each in ("sgx-v3-swhardening", "tdx-v4-uptodate", "tdx-v5-service-td")]
_SET: Final = json.loads(collateral("tdx-v4-uptodate"))
_TCB_INFO: Final = json.loads(_SET["tcb_info"])
_IDENTITY: Final = json.loads(_SET["qe_identity"])
_CHAIN: Final = DcapQuote.parse(_QUOTES[1]).certificates
_EXTENSION: Final = sgx_extension(
    PckIdentity(ppid=bytes(16), cpu_svn=bytes(range(16)), pce_svn=13, pce_id=bytes(2), fmspc=bytes(6), smt=True)
)
_MADE: Final[dict[str, str]] = json.loads(vendor().endorsements().dcap[1])
_MADE_QUOTE: Final = vendor().tdx_quote(DATA)
_anything: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["SGX", "TDX_01"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*_TCB_INFO, *_IDENTITY, "tcb", "svn"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def _changed(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """Give bytes of which a part is replaced, or taken out."""
    data = draw(st.sampled_from(samples))
    start = draw(st.integers(0, len(data) - 1))
    end = draw(st.integers(start, min(len(data), start + 80)))
    return data[:start] + draw(st.binary(max_size=80)) + data[end:]


@st.composite
def _statement(draw: st.DrawFn, sample: dict[str, Any]) -> str:
    """Give a statement of which something, at any depth, is something else."""
    document = json.loads(json.dumps(sample))
    place: Any = document
    while True:
        key = draw(st.sampled_from(sorted(place))) if isinstance(place, dict) else draw(st.integers(0, len(place) - 1))
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner or draw(st.booleans()):
            place[key] = draw(_anything)
            return json.dumps(document)
        place = inner


@given(st.binary(max_size=6000) | _changed(_QUOTES))
def test_any_quote(data: bytes) -> None:
    """Any bytes are a quote, or refused."""
    with contextlib.suppress(EvidenceError):
        DcapQuote.parse(data)


@given(_changed([_QUOTES[1]]))
def test_any_evidence(data: bytes) -> None:
    """Any quote with good collateral is verified, or refused."""
    with contextlib.suppress(EvidenceError):
        appraise("tdx-v4-uptodate", data)


@given(st.binary(max_size=300) | _changed([_EXTENSION]))
def test_any_extension(data: bytes) -> None:
    """Any bytes say something of a processor, or are refused."""
    with contextlib.suppress(EvidenceError):
        PckIdentity.from_extension(data)


@given(st.binary(max_size=300) | _changed(list(_CHAIN)), st.sampled_from(list(Role)))
def test_any_certificate(data: bytes, role: Role) -> None:
    """Any bytes are a certificate of a role, or refused."""
    with contextlib.suppress(EvidenceError):
        PckIdentity.of(load_certificate(data, role))


@given(st.binary(max_size=300) | _changed([bytes.fromhex(_SET["pck_crl"]), bytes.fromhex(_SET["root_ca_crl"])]))
def test_any_list(data: bytes) -> None:
    """Any bytes are a revocation list, or refused."""
    with contextlib.suppress(EvidenceError):
        load_crl(data, "the list")


@given(st.binary(max_size=300) | _changed([_SET["tcb_info_issuer_chain"].encode()]))
def test_any_chain(data: bytes) -> None:
    """Any bytes are a chain in PEM, or refused."""
    with contextlib.suppress(EvidenceError):
        pem_chain(data, "it")


@given(_statement(_TCB_INFO) | st.text() | _anything.map(json.dumps))
def test_any_tcb_info(text: str) -> None:
    """Any text is a TCB info, or refused."""
    with contextlib.suppress(EvidenceError):
        TcbInfo.parse(text)


@given(_statement(_IDENTITY) | st.text() | _anything.map(json.dumps))
def test_any_identity(text: str) -> None:
    """Any text is the identity of a quoting enclave, or refused."""
    with contextlib.suppress(EvidenceError):
        QeIdentity.parse(text)


@given(_statement(_SET) | st.text() | _anything.map(json.dumps))
def test_any_collateral(text: str) -> None:
    """Any text is a set of collateral, or refused; and so is a quote with it."""
    with contextlib.suppress(EvidenceError):
        CollateralSet.from_json(text)
    with contextlib.suppress(EvidenceError):
        appraise("tdx-v4-uptodate", dcap=(text,))


@given(_statement(json.loads(_MADE["tcb_info"])), _statement(json.loads(_MADE["qe_identity"])), st.booleans())
def test_any_signed_statement(info: str, identity: str, which: bool) -> None:  # noqa: FBT001 - a choice of hypothesis
    """Whatever a make-believe vendor says, signed as it has to be, is believed of it, or refused."""
    name, text = ("tcb_info", info) if which else ("qe_identity", identity)
    signature = raw_signature(grown_p256_key(b"\x07" * 32, "signer"), text.encode()).hex()
    known = json.dumps(_MADE | {name: text, f"{name}_signature": signature})
    with contextlib.suppress(EvidenceError):
        verify_tdx(TdxQuote(key=b"", quote=_MADE_QUOTE), Endorsements(dcap=(known,)), AT)


@given(_changed([_EXTENSION]))
def test_any_signed_extension(extension: bytes) -> None:
    """Whatever a make-believe vendor says of a processor in its certificate is believed of it, or refused."""
    with mock.patch.object(intel_certificates, "sgx_extension", return_value=extension):
        quote_of_it = vendor().tdx_quote(DATA)
    with contextlib.suppress(EvidenceError):
        verify_tdx(TdxQuote(key=b"", quote=quote_of_it), vendor().endorsements(), AT)
