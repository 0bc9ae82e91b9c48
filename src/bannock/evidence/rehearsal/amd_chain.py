"""The chain of a make-believe AMD: its keys, its certificates and its list of revoked ones, and how they are kept."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from cryptography.x509.oid import NameOID

from bannock.errors import InputError
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.evidence.snp.tcb import Tcb

__all__ = ["MadeChain"]

_FORMAT: Final = "bannock-rehearsal-amd-1"
#: AMD's keys have 4096 bits, and take some seconds to be made.
_RSA_BITS: Final = 3072
_PSS: Final = padding.PSS(padding.MGF1(SHA384()), SHA384.digest_size)
_CHIP_BYTES: Final = 64
_TURIN_CHIP_BYTES: Final = 8
_CHAIN_DAYS: Final = 25 * 365
_CHIP_DAYS: Final = 7 * 365
_LIST_DAYS: Final = 365
#: Extensions of a VCEK (AMD 57230, table 7), and the last part of each of those of its TCB version.
_AMD: Final = "1.3.6.1.4.1.3704.1"
_SPL: Final[Mapping[str, int]] = {"bootloader": 1, "tee": 2, "snp": 3, "microcode": 8, "fmc": 9}


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeChain:
    """What is made once, and kept.

    Attributes:
        line: of products.
        issued: when it was made; certificates are good from a day before.
        chip_id: of the chip, 64 bytes.
        root_key, intermediate_key, chip_key: private keys.
        root, intermediate: certificates.
    """

    line: str
    issued: datetime
    chip_id: bytes
    root_key: rsa.RSAPrivateKey = field(repr=False)
    intermediate_key: rsa.RSAPrivateKey = field(repr=False)
    chip_key: ec.EllipticCurvePrivateKey = field(repr=False)
    root: x509.Certificate
    intermediate: x509.Certificate

    @classmethod
    def make(cls, random: Callable[[int], bytes], at: datetime, line: str) -> Self:
        """Make one."""
        root_key, intermediate_key = (rsa.generate_private_key(65537, _RSA_BITS) for _ in range(2))
        root_name, intermediate_name = f"ARK-{line}", f"SEV-{line}"
        return cls(
            line=line,
            issued=at,
            chip_id=random(_TURIN_CHIP_BYTES if line == "Turin" else _CHIP_BYTES).ljust(_CHIP_BYTES, b"\0"),
            root_key=root_key,
            intermediate_key=intermediate_key,
            chip_key=ec.generate_private_key(ec.SECP384R1()),
            root=_authority(_certificate(root_name, root_name, root_key.public_key(), at), root_key),
            intermediate=_authority(
                _certificate(intermediate_name, root_name, intermediate_key.public_key(), at), root_key
            ),
        )

    def vcek(self, tcb: Tcb) -> bytes:
        """Issue the certificate of the chip at a TCB version, DER."""
        name, key = f"SEV-{self.line}", self.chip_key.public_key()
        builder = _certificate("SEV-VCEK", name, key, self.issued, days=_CHIP_DAYS)
        product = f"{self.line}-B0".encode("ascii")
        extensions = {f"{_AMD}.1": b"\x02\x01\x01", f"{_AMD}.2": bytes((0x16, len(product))) + product}
        extensions |= {f"{_AMD}.3.{_SPL[part]}": _der_integer(number) for part, number in tcb.parts().items()}
        extensions[f"{_AMD}.4"] = self.chip_id[:_TURIN_CHIP_BYTES] if self.line == "Turin" else self.chip_id
        for oid, value in extensions.items():
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False
            )
        return builder.sign(self.intermediate_key, SHA384(), rsa_padding=_PSS).public_bytes(Encoding.DER)

    def crl(self, at: datetime, *, expired: bool, revoked: bool) -> bytes:
        """Issue the list of revoked certificates, DER.

        Args:
            at: now.
            expired: whether the next one was due a year ago.
            revoked: whether the intermediate is on it.
        """
        start = at - timedelta(days=2 * _LIST_DAYS if expired else 1)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.root.subject)
            .last_update(start)
            .next_update(start + timedelta(days=_LIST_DAYS))
        )
        if revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(self.intermediate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(start).build())
        return builder.sign(self.root_key, SHA384(), rsa_padding=_PSS).public_bytes(Encoding.DER)

    def to_json(self) -> bytes:
        """Give it as it is kept: with its private keys, which protect nothing."""
        keys = (self.root_key, self.intermediate_key, self.chip_key)
        return canonical_json(
            {
                "format": _FORMAT,
                "line": self.line,
                "issued": self.issued.astimezone(UTC).isoformat(),
                "chip": self.chip_id.hex(),
                "keys": [_text(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())) for key in keys],
                "certificates": [_text(each.public_bytes(Encoding.DER)) for each in (self.root, self.intermediate)],
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Take up what :meth:`to_json` gave.

        Raises:
            InputError: it is anything else.
        """
        try:
            fields: dict[str, Any] = json.loads(data)
            # Looking RSA keys over takes a good part of a second.
            root_key, intermediate_key, chip_key = (
                load_der_private_key(_bytes(key), None, unsafe_skip_rsa_key_validation=True) for key in fields["keys"]
            )
            root, intermediate = (x509.load_der_x509_certificate(_bytes(each)) for each in fields["certificates"])
            chip_id, issued = bytes.fromhex(fields["chip"]), datetime.fromisoformat(fields["issued"])
            form, line = fields["format"], fields["line"]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UnsupportedAlgorithm):
            # What the library says of the content stays here: it might repeat a part of a key.
            raise InputError("what a make-believe AMD was kept in is malformed") from None
        if (
            not isinstance(root_key, rsa.RSAPrivateKey)
            or not isinstance(intermediate_key, rsa.RSAPrivateKey)
            or not isinstance(chip_key, ec.EllipticCurvePrivateKey)
            or len(chip_id) != _CHIP_BYTES
        ):
            raise InputError("what a make-believe AMD was kept in has other keys than it makes")
        if form != _FORMAT or not isinstance(line, str):
            raise InputError(f"a make-believe AMD is kept in format {_FORMAT}")
        return cls(
            line=line,
            issued=issued,
            chip_id=chip_id,
            root_key=root_key,
            intermediate_key=intermediate_key,
            chip_key=chip_key,
            root=root,
            intermediate=intermediate,
        )


def _certificate(
    subject: str,
    issuer: str,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    at: datetime,
    *,
    days: int = _CHAIN_DAYS,
) -> x509.CertificateBuilder:
    start = at - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def _authority(builder: x509.CertificateBuilder, issuer: rsa.RSAPrivateKey) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(issuer, SHA384(), rsa_padding=_PSS)
    )


def _name(common: str) -> x509.Name:
    parts = {
        NameOID.ORGANIZATIONAL_UNIT_NAME: "Engineering",
        NameOID.COUNTRY_NAME: "US",
        NameOID.LOCALITY_NAME: "Santa Clara",
        NameOID.STATE_OR_PROVINCE_NAME: "CA",
        NameOID.ORGANIZATION_NAME: "Advanced Micro Devices",
        NameOID.COMMON_NAME: common,
    }
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts.items()])


def _der_integer(number: int) -> bytes:
    content = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return bytes((0x02, len(content))) + content


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
