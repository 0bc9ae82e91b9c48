"""Quotes from the kernel's directory, which is emulated as it behaves, with a make-believe vendor behind it."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import threading
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.errors import EnvironmentFault, InputError
from bannock.evidence.attester import KeyAttester, key_binding
from bannock.evidence.quotes import SnpQuote, TdxQuote
from bannock.evidence.rehearsal.amd import AmdVendor
from bannock.evidence.rehearsal.amd_chain import MadeChain
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.report import Report
from bannock.evidence.snp.report import AttestationReport
from bannock.evidence.tsm import TsmReporter, available
from bannock.evidence.verifier import verify
from bannock.values import Measurement
from tests.tsm_kernel import TsmKernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

pytestmark = [pytest.mark.fuse, pytest.mark.root]

_AT: Final = datetime(2026, 3, 1, tzinfo=UTC)
_DATA: Final = bytes(range(64))
_REPORT: Final = Report(
    measurement=Measurement(b"\xaa" * 32), signer=Measurement(bytes(32)), product_id=0, svn=0, debug=False, data=_DATA
)
_VCEK, _ASK, _ARK = (
    "63da758d-e664-4564-adc5-f4b93be8accd",
    "4ab7b379-bbac-4fe4-a02f-05aef327c782",
    "c0b406a4-a803-4952-9743-3fb6014cd0ae",
)


@pytest.fixture(scope="module")
def chain() -> MadeChain:
    """What a make-believe AMD has made."""
    return MadeChain.make(os.urandom, _AT, "Genoa")


def _table(entries: Iterable[tuple[str, bytes]]) -> bytes:
    entries = list(entries)
    place, head, body = 24 * (len(entries) + 1), b"", b""
    for name, content in entries:
        head += uuid.UUID(name).bytes + struct.pack("<II", place + len(body), len(content))
        body += content
    return head + bytes(24) + body


def _amd(chain: MadeChain) -> Callable[[bytes, int], tuple[bytes, bytes]]:
    vendor = AmdVendor(os.urandom, _AT, chain=chain)
    certificates = vendor.endorsements().certificates
    table = _table(zip((_VCEK, _ASK, _ARK), certificates, strict=True))
    return lambda data, level: (vendor.snp_report(data, {"vmpl": str(level)}), table)


def _with_table(
    reports: Callable[[bytes, int], tuple[bytes, bytes]], table: bytes
) -> Callable[[bytes, int], tuple[bytes, bytes]]:
    return lambda data, level: (reports(data, level)[0], table)


def _plain(data: bytes, level: int) -> tuple[bytes, bytes]:
    return b"a quote for %b at %d" % (data, level), b""


def _no_wait(_: float) -> None:
    """Wait for nobody."""


def _no_waiting(_: float) -> None:
    pytest.fail("it is waited for what does not pass")


def test_sev_snp_guest(tmp_path: Path, chain: MadeChain) -> None:
    """From the kernel to the verdict: the key of a LAS is vouched for by a chip, with the certificates of the host."""
    with TsmKernel(tmp_path, "sev_guest", _amd(chain)) as kernel:
        assert available(tmp_path) == "sev-snp"
        attester = KeyAttester(Ed25519PrivateKey.generate(), TsmReporter(tmp_path).quote)
        assert kernel.reports == []
    found = verify(attester.attest(_REPORT).to_json(), expected_report_data=_DATA, at=_AT)
    assert found.claims.rehearses == "sev-snp"
    assert found.claims.machine["vmpl"] == "0"
    assert found.claims.machine_id == hashlib.sha256(b"sev-snp\0" + chain.chip_id).hexdigest()


def test_trust_domain(tmp_path: Path) -> None:
    """A trust domain has no certificates from its host, and no privilege levels."""
    with TsmKernel(tmp_path, "tdx_guest", _plain) as kernel:
        assert available(tmp_path) == "tdx"
        quote, endorsements = TsmReporter(tmp_path).quote(b"key")
        assert kernel.reports == []
    assert quote == TdxQuote(key=b"key", quote=b"a quote for %b at 0" % key_binding(b"key"))
    assert endorsements == b""


def test_trust_domain_to_the_verdict(tmp_path: Path) -> None:
    """From the kernel to the verdict: the key of a LAS is vouched for by a processor of a make-believe Intel."""
    vendor = IntelVendor(os.urandom, _AT)
    with TsmKernel(tmp_path, "tdx_guest", lambda data, _: (vendor.tdx_quote(data, {"mrtd": "0a" * 48}), b"")):
        attester = KeyAttester(Ed25519PrivateKey.generate(), TsmReporter(tmp_path).quote)
    found = verify(
        attester.attest(_REPORT).to_json(), expected_report_data=_DATA, at=_AT, endorsements=vendor.endorsements()
    )
    assert found.claims.rehearses == "tdx"
    assert found.claims.machine["mrtd"] == "0a" * 48


def test_level_below_an_svsm(tmp_path: Path, chain: MadeChain) -> None:
    """Where the kernel is not at the highest level, it is asked for the best that it has, or what is wanted."""
    with TsmKernel(tmp_path, "sev_guest", _amd(chain), floor=2):
        best = TsmReporter(tmp_path).report(_DATA)
        wanted = TsmReporter(tmp_path, level=3).report(_DATA)
        assert AttestationReport.from_bytes(best.quote).vmpl == 2
        assert AttestationReport.from_bytes(wanted.quote).vmpl == 3
        with pytest.raises(EnvironmentFault, match="Invalid argument"):
            TsmReporter(tmp_path, level=1, sleep=_no_wait).report(_DATA)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.ETIMEDOUT, errno.EAGAIN])
def test_what_passes_is_waited_for(tmp_path: Path, number: int) -> None:
    """A quote that is not to be had now is asked for again, after longer and longer waits."""
    waits: list[float] = []
    refusals = [number] * 3

    def busy(_: TsmKernel, name: str, what: str) -> None:
        if (name, what) == ("outblob", "make") and refusals:
            raise OSError(refusals.pop(), "busy")

    with TsmKernel(tmp_path, "tdx_guest", _plain, tell=busy) as kernel:
        report = TsmReporter(tmp_path, sleep=waits.append).report(_DATA)
        assert kernel.reports == []
    assert _DATA in report.quote
    assert waits == sorted(waits)
    assert len(waits) == 3


def test_it_is_not_waited_for_ever(tmp_path: Path) -> None:
    """After some tries the fault is told, with what the kernel says, and nothing is left behind."""
    waits: list[float] = []

    def busy(_: TsmKernel, name: str, what: str) -> None:
        if (name, what) == ("outblob", "make"):
            raise OSError(errno.EBUSY, "busy")

    with TsmKernel(tmp_path, "tdx_guest", _plain, tell=busy) as kernel:
        with pytest.raises(EnvironmentFault, match=r"gives no quote below .*: Device or resource busy"):
            TsmReporter(tmp_path, sleep=waits.append).report(_DATA)
        assert kernel.reports == []
    assert 5 <= len(waits) <= 10
    assert sum(waits) < 15


@pytest.mark.parametrize(
    ("name", "what"), [("inblob", "close"), ("generation", "read"), ("outblob", "make"), ("outblob", "read")]
)
def test_quote_for_somebody_else_is_not_taken(tmp_path: Path, name: str, what: str) -> None:
    """Whoever else writes, whenever: the quote that comes back is bound to what was asked for."""
    times = [2]

    def interfere(kernel: TsmKernel, at: str, doing: str) -> None:
        if (at, doing) == (name, what) and times[0]:
            times[0] -= 1
            kernel.write_as_another()

    with TsmKernel(tmp_path, "tdx_guest", _plain, tell=interfere):
        report = TsmReporter(tmp_path, sleep=_no_wait).report(_DATA)
    assert report.quote == b"a quote for %b at 0" % _DATA


def test_quote_that_is_bound_to_something_else_is_not_taken(tmp_path: Path) -> None:
    """However the count stands: what was asked for has to be in the quote."""
    with (
        TsmKernel(tmp_path, "tdx_guest", lambda *_: _plain(bytes(64), 0)),
        pytest.raises(EnvironmentFault, match="is bound to something else than what was written"),
    ):
        TsmReporter(tmp_path, sleep=_no_wait).report(_DATA)


def test_write_that_is_dropped_is_found_out(tmp_path: Path) -> None:
    """The kernel does not tell that it did not take what was written; the generation does."""
    refusals = [errno.EBUSY] * 2

    def drop(_: TsmKernel, name: str, what: str) -> None:
        if (name, what) == ("inblob", "close") and refusals:
            raise OSError(refusals.pop(), "dropped")

    with TsmKernel(tmp_path, "tdx_guest", _plain, tell=drop):
        report = TsmReporter(tmp_path, sleep=_no_wait).report(_DATA)
    assert _DATA in report.quote
    assert not refusals


def test_many_at_once(tmp_path: Path) -> None:
    """Everybody gets the quote for what it asked for."""
    found: dict[bytes, bytes] = {}

    def ask(data: bytes) -> None:
        found[data] = TsmReporter(tmp_path).report(data).quote

    with TsmKernel(tmp_path, "tdx_guest", _plain):
        threads = [threading.Thread(target=ask, args=(bytes([number]) * 64,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {bytes([n]) * 64: b"a quote for %b at 0" % (bytes([n]) * 64) for n in range(8)}


def test_faults_are_told(tmp_path: Path) -> None:
    """What does not pass is told at once: no provider, one that is not known, a quote that is too long, a fault."""
    with TsmKernel(tmp_path, None, _plain):
        assert available(tmp_path) is None
        with pytest.raises(EnvironmentFault, match="No such device or address") as refused:
            TsmReporter(tmp_path, sleep=_no_waiting).report(_DATA)
        assert "Linux 6.7" in (refused.value.hint or "")
    with TsmKernel(tmp_path, "arm_cca_guest", _plain) as kernel:
        assert available(tmp_path) is None
        with pytest.raises(EnvironmentFault, match="'arm_cca_guest'; known are tdx_guest, sev_guest"):
            TsmReporter(tmp_path, sleep=_no_waiting).report(_DATA)
        assert kernel.reports == []

    def fail(_: TsmKernel, name: str, what: str) -> None:
        if (name, what) == ("outblob", "make"):
            raise OSError(errno.EIO, "broken")

    with TsmKernel(tmp_path, "tdx_guest", _plain, tell=fail), pytest.raises(EnvironmentFault, match="Input/output"):
        TsmReporter(tmp_path, sleep=_no_waiting).report(_DATA)
    with (
        TsmKernel(tmp_path, "tdx_guest", lambda data, _: (data * 20_000, b"")),
        pytest.raises(EnvironmentFault, match="more than 1048576 bytes"),
    ):
        TsmReporter(tmp_path, sleep=_no_waiting).report(_DATA)


def test_directory_that_is_not_there(tmp_path: Path) -> None:
    """Without the directory there is no platform, and asking says what would be needed."""
    assert available(tmp_path / "none") is None
    with pytest.raises(EnvironmentFault, match="No such file"):
        TsmReporter(tmp_path / "none", sleep=_no_waiting).report(_DATA)
    with pytest.raises(InputError, match="64 bytes, found 3"):
        TsmReporter(tmp_path).report(b"abc")


def test_host_that_hands_nothing_useful_along(
    tmp_path: Path, chain: MadeChain, caplog: pytest.LogCaptureFixture
) -> None:
    """Without certificates, or with a table that is none, there is a quote all the same; whoever verifies asks AMD."""
    reports = _amd(chain)
    for table, told in ((b"", ""), (bytes(4096), ""), (b"\x01" * 30, "certificates")):
        caplog.clear()
        with TsmKernel(tmp_path, "sev_guest", _with_table(reports, table)):
            quote, endorsements = TsmReporter(tmp_path).quote(b"key")
        assert isinstance(quote, SnpQuote)
        assert endorsements == b""
        assert told in caplog.text
        assert bool(caplog.text) is bool(told)
    with TsmKernel(tmp_path, "sev_guest", reports) as kernel:
        kernel.attributes.remove("auxblob")
        assert TsmReporter(tmp_path).report(_DATA).certificates == ()
