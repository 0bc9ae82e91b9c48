"""Two verifiers, one verdict: whatever Intel might say of a platform, ours and dcap-qvl say the same of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import EvidenceError
from bannock.evidence.dcap.second_opinion import ask
from bannock.evidence.dcap.verifier import verify_tdx
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import TdxQuote
from bannock.evidence.rehearsal.intel_collateral import raw_signature
from bannock.evidence.rehearsal.seeds import grown_p256_key
from tests.unit.evidence.rehearsal.intel import AT, DATA, vendor

if TYPE_CHECKING:
    from collections.abc import Callable

_INTEL: Final = vendor()
_SET: Final = json.loads(_INTEL.endorsements().dcap[1])
_SIGNER: Final = grown_p256_key(b"\x07" * 32, "signer")
_REFUSALS: Final = ("below all levels", "Intel revoked", "is not one that Intel knows")

#: What is revoked is refused wherever it is, so it is rare here.
_OF_ENCLAVES: Final = ["UpToDate", "UpToDate", "UpToDate", "OutOfDate", "OutOfDate", "Revoked"]
_OF_PROCESSORS: Final = [
    *_OF_ENCLAVES,
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDateConfigurationNeeded",
]
_advisories: Final = st.lists(st.sampled_from([f"INTEL-SA-0000{number}" for number in range(4)]), max_size=2)


def _level(tcb: dict[str, Any], states: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda status, advisories: {
            "tcb": tcb,
            "tcbDate": "2024-03-13T00:00:00Z",
            "tcbStatus": status,
            "advisoryIDs": list(dict.fromkeys(advisories)),
        },
        st.sampled_from(states),
        _advisories,
    )


def _near(svns: bytes) -> st.SearchStrategy[list[dict[str, int]]]:
    """Give numbers about as high as those of the platform, so that some are reached."""
    deltas = st.sampled_from([{}, {}, {0: -1}, {1: -1, 3: -1}, {0: 1}, {2: 1}, {5: 1, 0: -1}, {15: 1}])
    return deltas.map(
        lambda delta: [{"svn": min(255, max(0, svn + delta.get(place, 0)))} for place, svn in enumerate(svns)]
    )


_CPU_SVN: Final = bytes.fromhex("0b0b0303ffff01000000000000000000")
_TEE_SVN: Final = bytes.fromhex("05000300000000000000000000000000")
_levels: Final = st.lists(
    st.builds(
        lambda sgx, tdx, pce: {"sgxtcbcomponents": sgx, "pcesvn": pce, "tdxtcbcomponents": tdx},
        _near(_CPU_SVN),
        _near(_TEE_SVN),
        st.sampled_from([5, 12, 13, 13, 14]),
    ).flatmap(lambda tcb: _level(tcb, _OF_PROCESSORS)),
    min_size=1,
    max_size=5,
)
_enclave_levels: Final = st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True).flatmap(
    lambda svns: st.tuples(*(_level({"isvsvn": svn}, _OF_ENCLAVES) for svn in sorted(svns, reverse=True)))
)


def _signed(**statements: Callable[[dict[str, Any]], None]) -> str:
    document = dict(_SET)
    for name, edit in statements.items():
        statement = json.loads(document[name])
        edit(statement)
        document[name] = json.dumps(statement)
        document[f"{name}_signature"] = raw_signature(_SIGNER, document[name].encode()).hex()
    return json.dumps(document)


@given(
    levels=_levels,
    module=_enclave_levels,
    enclave=_enclave_levels,
    version=st.sampled_from([0, 1, 1, 1, 2]),
    svn=st.integers(4, 6),
)
def test_whatever_intel_says(
    levels: list[dict[str, Any]],
    module: tuple[dict[str, Any], ...],
    enclave: tuple[dict[str, Any], ...],
    version: int,
    svn: int,
) -> None:
    """Of any levels of processor, module and quoting enclave both find the same state, or both refuse."""

    def info(statement: dict[str, Any]) -> None:
        statement["tcbLevels"] = levels
        statement["tdxModuleIdentities"][0]["tcbLevels"] = module

    def identity(statement: dict[str, Any]) -> None:
        statement["tcbLevels"] = enclave

    collateral = _signed(tcb_info=info, qe_identity=identity)
    quote = _INTEL.tdx_quote(DATA, {"tee_tcb_svn": bytes([svn, version, *_TEE_SVN[2:]]).hex()})
    opinion = ask(quote, collateral, _INTEL.root, AT)
    known = Endorsements(dcap=(collateral,))
    if opinion.refused is None:
        found = verify_tdx(TdxQuote(key=b"", quote=quote), known, AT)
        assert (found.tcb.status, found.advisories) == (opinion.status, opinion.advisories)
        return
    with pytest.raises(EvidenceError, match="does not hold") as raised:
        verify_tdx(TdxQuote(key=b"", quote=quote), known, AT)
    told = "; ".join(raised.value.reasons)
    assert any(each in told for each in _REFUSALS), told
