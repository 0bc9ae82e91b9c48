"""Collateral as files in a directory: people can read them, put files there, and take them away.

::

    DIRECTORY/dcap/sgx-00606A000000-platform.json   Intel's collateral, as dcap-qvl has it
    DIRECTORY/amd/SEV-Milan-DIGEST.pem              a certificate of an authority
    DIRECTORY/amd/ARK-Milan-crl.pem                 the revocation list of one
    DIRECTORY/amd/SEV-VCEK-CHIP-LEVELS-DIGEST.pem   the certificate of one chip
    DIRECTORY/tpm/…                                 certificates and lists of manufacturers of TPMs

That is how files are called that are written here. Any other file with one of the suffixes counts too, in the
directory and in those directly in it. What cannot be read is told in the log and passed over: one damaged file stops
nothing that does not need it. Thread-safe, and several processes may use one directory: a file is whole or not there.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

from bannock.errors import BannockError, EnvironmentFault, EvidenceError, InputError
from bannock.evidence.collateral.intel import IntelCollateral, newest
from bannock.evidence.collateral.needs import AmdChainNeed, IntelNeed, VcekNeed
from bannock.evidence.collateral.x509_parts import Certificate, Crl, certificates_in, crls_in, to_pem
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.snp.certificates import built_in_intermediates, built_in_roots
from bannock.files import make_durable_directory, read_bounded, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from bannock.evidence.collateral.needs import Need

__all__ = ["CollateralStore", "Held", "chain_subjects"]

_log = logging.getLogger(__name__)

_FILES_MAX: Final = 8192
_FILE_BYTES_MAX: Final = 1 << 20
_JSON: Final = frozenset({".json"})
_CERTIFICATES: Final = frozenset({".pem", ".crt", ".cer", ".der", ".crl"})
#: Everybody may read what vendors publish.
_MODE: Final = 0o644
#: How long the directory is not looked at again: it is asked for each attestation.
_LOOK_SECONDS: Final = 1.0
_Encoded = TypeVar("_Encoded")
_Parsed = TypeVar("_Parsed")
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Held:
    """What is in the store."""

    intel: tuple[IntelCollateral, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    crls: tuple[Crl, ...] = ()

    def collateral(self, need: IntelNeed) -> IntelCollateral | None:
        """Give the newest of Intel's collateral that answers a need."""
        return newest(self.intel, need)

    def has_chain(self, need: AmdChainNeed) -> bool:
        """Whether all of them are at hand, built in or kept."""
        known = {each.name for each in (*built_in_intermediates(), *built_in_roots().values())}
        return {*chain_subjects(need)} <= known | {each.subject for each in self.certificates}

    def revoked(self, need: AmdChainNeed) -> Crl | None:
        """Give the newest revocation list over the certificates of a product."""
        found = (each for each in self.newest_crls().values() if each.name == f"ARK-{need.product}")
        return next(found, None)

    def chip(self, need: VcekNeed) -> Certificate | None:
        """Give the certificate of a chip."""
        return next((each for each in self.certificates if each.answers(need)), None)

    def newest_crls(self) -> Mapping[str, Crl]:
        """Give the newest revocation list of each issuer, by the issuer's name."""
        found: dict[str, Crl] = {}
        for crl in self.crls:
            if crl.issuer not in found or found[crl.issuer].issued < crl.issued:
                found[crl.issuer] = crl
        return found

    def endorsements(self, needs: Iterable[Need]) -> Endorsements:
        """Give what answers needs, and all that is not for one need: authorities, and the newest revocation lists."""
        wanted = tuple(needs)
        # All of it, not the newest alone: a verifier takes the newest that is authentic.
        intel = sorted((each for each in self.intel if each.need in wanted), key=lambda each: each.age, reverse=True)
        chips = (self.chip(need) for need in wanted if isinstance(need, VcekNeed))
        authorities = (each for each in self.certificates if not each.leaf)
        clouds = (each for each in self.certificates if each.leaf and each.chip_id is None)
        return Endorsements(
            dcap=tuple(each.text for each in intel),
            certificates=tuple(each.der for each in (*chips, *authorities, *clouds) if each is not None),
            crls=tuple(each.der for each in self.newest_crls().values()),
        )

    @classmethod
    def of(cls, found: Endorsements) -> Self:
        """Read what came along with evidence; what is malformed is left out.

        It is for the verifier to say that it is.
        """
        return cls(
            intel=tuple(_readable(found.dcap, IntelCollateral.parse)),
            certificates=tuple(_readable(found.certificates, Certificate.parse)),
            crls=tuple(_readable(found.crls, Crl.parse)),
        )

    def everything(self) -> Endorsements:
        """Give all that there is."""
        found = self.endorsements(dict.fromkeys(each.need for each in self.intel))
        chips = tuple(each.der for each in self.certificates if each.leaf and each.chip_id is not None)
        return Endorsements(dcap=found.dcap, certificates=(*chips, *found.certificates), crls=found.crls)


@dataclass(slots=True)
class _File:
    stamp: tuple[int, int, int]
    found: Held = field(default_factory=Held)


class CollateralStore:
    """The files of one directory.

    Args:
        directory: need not be there before something is put into it.
        monotonic: tells how long ago the directory was looked at.
    """

    def __init__(self, directory: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.directory: Final = directory
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._files: dict[Path, _File] = {}
        self._held = Held()
        self._looked: float | None = None

    def held(self) -> Held:
        """Give what there is; files that others put there count after a second at the latest."""
        with self._lock:
            now = self._monotonic()
            if self._looked is None or now - self._looked >= _LOOK_SECONDS:
                self._look()
                self._looked = now
            return self._held

    def put(self, found: Endorsements) -> list[str]:
        """Keep what is newer than what there is, each in a file of its own, and give the names of what was written.

        It has to be verified already.

        Raises:
            EvidenceError: something of it is malformed; nothing is written then.
            EnvironmentFault: a file cannot be written.
        """
        collateral = [IntelCollateral.parse(each) for each in found.dcap]
        certificates = [Certificate.parse(each) for each in found.certificates]
        crls = [Crl.parse(each) for each in found.crls]
        with self._lock:
            self._look()
            files = dict(self._newer(collateral, certificates, crls))
            for name, data in files.items():
                _write(self.directory / name, data)
            self._look()
        return sorted(files)

    def _newer(
        self, collateral: Iterable[IntelCollateral], certificates: Iterable[Certificate], crls: Iterable[Crl]
    ) -> Iterator[tuple[str, bytes]]:
        held = self._held
        for need in dict.fromkeys(each.need for each in collateral):
            one, known = newest(collateral, need), held.collateral(need)
            if one is not None and (known is None or known.age < one.age):
                yield f"dcap/{need.tee}-{need.fmspc}-{need.ca}.json", one.text.encode("utf-8")
        known_certificates = {each.der for each in held.certificates}
        for certificate in certificates:
            if certificate.der not in known_certificates:
                yield _certificate_name(certificate), to_pem(certificate.der, "CERTIFICATE")
        lists = Held(crls=tuple(crls)).newest_crls()
        for issuer, crl in lists.items():
            before = held.newest_crls().get(issuer)
            if before is None or before.issued < crl.issued:
                yield f"{_room(crl.name)}/{_plain(crl.name)}-crl.pem", to_pem(crl.der, "X509 CRL")

    def _look(self) -> None:
        """Read files that are new or were changed, and forget those that are gone."""
        found: dict[Path, _File] = {}
        changed = False
        for path, stamp in _listed(self.directory):
            before = self._files.get(path)
            if before is None or before.stamp != stamp:
                changed = True
                before = _File(stamp, _read(path))
            found[path] = before
        if changed or found.keys() != self._files.keys():
            parts = [each.found for _, each in sorted(found.items())]
            self._held = Held(
                intel=tuple(one for each in parts for one in each.intel),
                certificates=tuple(dict.fromkeys(one for each in parts for one in each.certificates)),
                crls=tuple(dict.fromkeys(one for each in parts for one in each.crls)),
            )
        self._files = found


def chain_subjects(need: AmdChainNeed) -> tuple[str, ...]:
    """Give the names of the authorities over the chips of a product, the one that issues first."""
    between = "SEV-VLEK-" if need.signer == "vlek" else "SEV-"
    return f"{between}{need.product}", f"ARK-{need.product}"


def _readable(found: Iterable[_Encoded], parse: Callable[[_Encoded], _Parsed]) -> Iterator[_Parsed]:
    for each in found:
        try:
            yield parse(each)
        except EvidenceError:
            continue


def _listed(directory: Path) -> Iterator[tuple[Path, tuple[int, int, int]]]:
    """Give the files that may be collateral, with what tells that one was changed."""
    count = 0
    for place in (directory, *_below(directory)):
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("collateral in %s cannot be read: %s", place, error.strerror)
            continue
        for entry in entries:
            suffix = Path(entry.name).suffix.lower()
            if entry.name.startswith(".") or suffix not in _JSON | _CERTIFICATES:
                continue
            count += 1
            if count > _FILES_MAX:
                _log.warning("%s has more than %d files of collateral, the others do not count", directory, _FILES_MAX)
                return
            try:
                status = entry.stat()
            except OSError:
                continue
            yield place / entry.name, (status.st_mtime_ns, status.st_size, status.st_ino)


def _below(directory: Path) -> list[Path]:
    try:
        return sorted(each for each in directory.iterdir() if each.is_dir() and not each.name.startswith("."))
    except OSError:
        return []


def _read(path: Path) -> Held:
    try:
        data = read_bounded(path, _FILE_BYTES_MAX)
        return parse_file(data, path.suffix.lower())
    except BannockError as error:
        cause = error.__cause__
        _log.warning("%s is no collateral: %s%s", path, error, f" ({cause})" if cause else "")
        return Held()


def parse_file(data: bytes, suffix: str) -> Held:
    if suffix in _JSON:
        try:
            return Held(intel=(IntelCollateral.parse(data.decode("utf-8")),))
        except UnicodeDecodeError as error:
            raise EvidenceError("it is not UTF-8 text") from error
    if b"-----BEGIN" in data:
        has = {name: f"-----BEGIN {name}-----".encode() in data for name in ("CERTIFICATE", "X509 CRL")}
        if not any(has.values()):
            raise InputError("it has neither a certificate nor a certificate revocation list")
        return Held(
            certificates=tuple(certificates_in(data)) if has["CERTIFICATE"] else (),
            crls=tuple(crls_in(data)) if has["X509 CRL"] else (),
        )
    try:
        return Held(certificates=tuple(certificates_in(data)))
    except EvidenceError:
        return Held(crls=tuple(crls_in(data)))


def _write(path: Path, data: bytes) -> None:
    try:
        make_durable_directory(path.parent)
    except OSError as error:
        raise EnvironmentFault(f"cannot make the directory {path.parent}: {error.strerror}") from error
    write_atomically(path, data, mode=_MODE)


def _certificate_name(found: Certificate) -> str:
    """Name the file of a certificate: by what it is of, and apart from any other."""
    chip = "" if found.chip_id is None else f"-{found.chip_id[:16]}"
    levels = "".join(f"-{name.removesuffix('SPL')}{level}" for name, level in found.levels)
    return f"{_room(found.subject)}/{_plain(found.subject)}{chip}{levels}-{found.digest[:8]}.pem"


def _room(name: str) -> str:
    return "amd" if name.startswith(("ARK-", "SEV-")) else "tpm"


def _plain(name: str) -> str:
    """Make a name of others fit to be part of a file's."""
    return _UNUSUAL.sub("_", name)[:80].strip("._") or "unnamed"
