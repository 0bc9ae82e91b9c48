"""Genuine evidence of TPMs (tests/data/evidence), and make-believe authorities that vouch for the keys in it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bannock.evidence.tpm.keys import AK_USAGE, name_of_machine
from bannock.evidence.tpm.public import Public

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.evidence.tpm.public import PublicKey
    from bannock.evidence.tpm.quoted import Pcrs

__all__ = ["AT", "DATA", "MACHINE", "Authority", "CloudQuote", "attestation_key", "cloud_log", "cloud_quotes"]

DATA: Final = Path(__file__).parents[3] / "data" / "evidence"
AT: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MACHINE: Final = "ab" * 32
_BANKS: Final = {4: "sha1", 11: "sha256", 12: "sha384"}


@dataclass(frozen=True, kw_only=True)
class CloudQuote:
    """A quote of a TPM in a cloud, with the values of the registers that it is over."""

    attest: bytes
    signature: bytes
    pcrs: Pcrs


def attestation_key() -> Public:
    """The attestation key of a TPM of software."""
    return Public.parse((DATA / "tpm" / "rsa-quote-ak.pub").read_bytes()[2:])


def cloud_quotes() -> tuple[bytes, list[CloudQuote], bytes]:
    """Give a cloud's attestation key (TPMT_PUBLIC), its quotes over three banks, and the certificate of the key."""
    fields = dict(_fields((DATA / "tpm" / "gce-cos85-nonce9009.pb").read_bytes()))
    quotes = []
    for number, value in _fields((DATA / "tpm" / "gce-cos85-nonce9009.pb").read_bytes()):
        if number == 2:
            parts = dict(_fields(value))
            registers = list(_fields(parts[3]))
            bank = _BANKS[next(each for number, each in registers if number == 1)]
            pairs = [dict(_fields(each)) for number, each in registers if number == 2]
            values = {int(pair.get(1, 0)): bytes(pair[2]) for pair in pairs}
            quotes.append(CloudQuote(attest=parts[1], signature=parts[2], pcrs={bank: values}))
    return fields[1], quotes, fields[6]


def cloud_log() -> bytes:
    """The event log of that machine."""
    return bytes(dict(_fields((DATA / "tpm" / "gce-cos85-nonce9009.pb").read_bytes()))[3])


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Read a protobuf message: the number of each field, and its value."""
    at = 0

    def number() -> int:
        nonlocal at
        found = shift = 0
        while True:
            byte = data[at]
            at += 1
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return found

    while at < len(data):
        key = number()
        value = number()
        if key & 7 == 2:
            at += value
            yield key >> 3, data[at - value : at]
        else:
            yield key >> 3, value


class Authority:
    """Issues certificates for keys of TPMs; every way of doing it wrong is a keyword."""

    def __init__(
        self, name: str = "authority", *, at: dt.datetime = AT, of: Authority | None = None, **how: Any
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._at = at
        self._of = of or self
        self.certificate = self._of.issue(
            self.key.public_key(), **{"subject": self.name, "usage": None, "ca": True, **how}
        )

    @property
    def root(self) -> bytes:
        """Its own certificate, DER."""
        return self.certificate.public_bytes(Encoding.DER)

    def issue(
        self,
        key: PublicKey,
        *,
        subject: x509.Name | None = None,
        usage: x509.ObjectIdentifier | None = AK_USAGE,
        ca: bool = False,
        path_length: int | None = None,
        days: tuple[int, int] = (-1, 30),
        key_usage: x509.KeyUsage | None = None,
        algorithm: hashes.SHA224 | None = None,
        extension: x509.ExtensionType | None = None,
    ) -> x509.Certificate:
        """Issue a certificate."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject or name_of_machine(MACHINE))
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._at + dt.timedelta(days=days[0]))
            .not_valid_after(self._at + dt.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if key_usage is not None:
            builder = builder.add_extension(key_usage, critical=True)
        if extension is not None:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(self.key, algorithm or hashes.SHA256())

    def revoke(
        self,
        *certificates: x509.Certificate,
        days: tuple[int, int] = (-1, 7),
        extension: x509.ExtensionType | None = None,
    ) -> bytes:
        """Make a list of revoked certificates, DER."""
        made, until = (self._at + dt.timedelta(days=each) for each in days)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(made).next_update(until)
        if extension is not None:
            builder = builder.add_extension(extension, critical=True)
        for certificate in certificates:
            revoked = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
            builder = builder.add_revoked_certificate(revoked.revocation_date(made).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)
