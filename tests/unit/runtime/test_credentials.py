"""Files by which a service shows what it is: how they are made, kept good, and what a failure leaves of them."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from bannock.errors import DeniedError, EnvironmentFault, PeerError
from bannock.evidence.attester import SimAttester
from bannock.evidence.ra_tls import AUDIENCE, RaTlsCertificate
from bannock.evidence.report import Report
from bannock.policy.configuration import Configuration
from bannock.policy.credentials import RaTlsFiles, TokenFile
from bannock.runtime.credentials import Credentials
from bannock.values import KeyHash, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

_AT = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
_CAS = KeyHash(b"c" * 32)
_CONFIGURATION = Configuration(
    argv=("app",),
    environment={},
    working_directory="/",
    attestation_token=TokenFile(path="/run/token", audience="https://rp.example", lifetime=60),
    ra_tls=RaTlsFiles(certificate="/tls/cert", private_key="/tls/key", lifetime=60),
)


@dataclass
class _Voucher:
    """Numbers tokens, which are good for a moment."""

    cas: KeyHash = _CAS
    names: tuple[str, str] = ("demo", "app")
    seconds: float = 0.1
    asked: list[tuple[str, int]] = field(default_factory=list)
    evidence_of: list[bytes] = field(default_factory=list)
    away: bool = False
    blind: bool = False

    def token(self, audience: str, lifetime: int, key: ec.EllipticCurvePrivateKey | None = None) -> tuple[str, int]:
        if self.away:
            raise EnvironmentFault("the CAS is away")
        assert (key is not None) == (audience == AUDIENCE)
        self.asked.append((audience, lifetime))
        return f"token-{len(self.asked)}", self.seconds  # type: ignore[return-value]  # a test does not wait for seconds

    def evidence(self, report_data: bytes) -> bytes:
        if self.blind:
            raise DeniedError("the LAS does not know this process")
        self.evidence_of.append(report_data)
        report = Report(
            measurement=Measurement(bytes(32)),
            signer=Measurement(bytes(32)),
            product_id=0,
            svn=0,
            debug=False,
            data=report_data,
        )
        return SimAttester(Ed25519PrivateKey.generate()).attest(report).to_json()


@dataclass
class _Place:
    """A directory in place of the application's root."""

    directory: Path
    modes: dict[str, int] = field(default_factory=dict)

    def place(self, path: Path, content: bytes, mode: int) -> Path:
        kept = self.directory / path.name
        kept.write_bytes(content)
        self.modes[str(path)] = mode
        return kept


def _certificate(place: _Place) -> RaTlsCertificate:
    pem = (place.directory / "cert").read_bytes()
    return RaTlsCertificate.from_der(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_files_are_there_before_the_application_starts(tmp_path: Path) -> None:
    """The token for its audience; the certificate with evidence that is bound to its key, the CAS and the session."""
    voucher, place = _Voucher(seconds=3600), _Place(tmp_path)
    with Credentials(voucher, _CONFIGURATION, lambda: _AT) as credentials:
        credentials.place(place)
    assert place.modes == {"/run/token": 0o400, "/tls/cert": 0o444, "/tls/key": 0o400}
    assert (tmp_path / "token").read_bytes() == b"token-1"
    assert voucher.asked == [("https://rp.example", 60), (AUDIENCE, 60)]
    shown = _certificate(place)
    assert shown.token == "token-2"
    assert (shown.statement.cas, shown.statement.session, shown.statement.service) == (_CAS, "demo", "app")
    assert voucher.evidence_of == [shown.statement.report_data()]
    assert shown.not_after == _AT + dt.timedelta(seconds=60)
    key = load_pem_private_key((tmp_path / "key").read_bytes(), password=None)
    certificate = x509.load_pem_x509_certificate((tmp_path / "cert").read_bytes())
    assert certificate.public_key() == key.public_key()


def test_files_are_renewed_for_the_same_key(tmp_path: Path) -> None:
    """Before what they say runs out; also after the CAS was away, and where no new evidence is to be had."""
    voucher, place = _Voucher(), _Place(tmp_path)
    with Credentials(voucher, _CONFIGURATION, lambda: _AT) as credentials:
        credentials.place(place)
        first, key = _certificate(place), (tmp_path / "key").read_bytes()
        _eventually(lambda: (tmp_path / "token").read_bytes() not in (b"token-1", b""))
        _eventually(lambda: b"BEGIN" in (tmp_path / "cert").read_bytes() and _certificate(place) != first)
        voucher.away = voucher.blind = True
        time.sleep(0.2)
        count = len(voucher.asked)
        voucher.away = False
        _eventually(lambda: len(voucher.asked) > count + 4)
    assert _certificate(place).key == first.key
    assert (tmp_path / "key").read_bytes() == key


@pytest.mark.parametrize("fault", ["away", "blind"])
def test_without_credentials_nothing_starts(tmp_path: Path, fault: str) -> None:
    """A service that cannot show what it is does not run as if it could."""
    with (
        Credentials(
            _Voucher(away=fault == "away", blind=fault == "blind"), _CONFIGURATION, lambda: _AT
        ) as credentials,
        pytest.raises((EnvironmentFault, DeniedError)),
    ):
        credentials.place(_Place(tmp_path))


def test_configurations_travel() -> None:
    """And those that cannot be are refused."""
    assert Configuration.from_json(_CONFIGURATION.to_json()) == _CONFIGURATION
    assert Configuration.from_json(replace(_CONFIGURATION, ra_tls=None).to_json()).ra_tls is None
    for before, after in (
        (b'"/tls/cert"', b'"/run/token"'),
        (b'"/tls/cert"', b'"tls"'),
        (b":60", b":1"),
        (b"60", b'""'),
    ):
        with pytest.raises(PeerError):
            Configuration.from_json(_CONFIGURATION.to_json().replace(before, after))
