"""Quotes of the SGX enclave that this runs in, through Gramine's files.

Source: Gramine's documentation, "Attestation and Secret Provisioning", the low-level ``/dev/attestation`` interface:
what the quote is to be bound to is written into ``user_report_data``, and ``quote`` gives the quote. The files are the
process's own, so nobody else writes in between but another thread of it.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from bannock.errors import EnvironmentFault, EvidenceError, InputError
from bannock.evidence.dcap.quote import QUOTE_BYTES_MAX, DcapQuote, SgxReport
from bannock.evidence.envelope import Envelope
from bannock.evidence.quotes import SgxQuote
from bannock.evidence.report import REPORT_DATA_BYTES, Report
from bannock.values import Measurement

__all__ = ["GRAMINE_DIRECTORY", "GramineAttester", "available"]

GRAMINE_DIRECTORY: Final = Path("/dev/attestation")
_SCHEME: Final = "dcap"
_TEXT_BYTES_MAX: Final = 64
_HINT: Final = 'the manifest of Gramine has to say sgx.remote_attestation = "dcap"'
#: The files are those of the process, whichever object writes.
_LOCK: Final = threading.Lock()


def available(directory: Path = GRAMINE_DIRECTORY) -> str | None:
    """Give ``sgx`` where this is an enclave of Gramine that has quotes; else None."""
    try:
        return "sgx" if _read(directory / "attestation_type", _TEXT_BYTES_MAX).strip() == _SCHEME.encode() else None
    except EnvironmentFault:
        return None


class GramineAttester:
    """Attests the enclave that this runs in; may be used from any thread.

    Args:
        directory: Gramine's.
    """

    def __init__(self, directory: Path = GRAMINE_DIRECTORY) -> None:
        self._directory = directory

    def attest(self, report_data: bytes) -> Envelope:
        """Give evidence that is bound to 64 bytes; the report in it is the one in the quote.

        Raises:
            InputError: they are not 64.
            EnvironmentFault: there is no quote to be had.
        """
        if len(report_data) != REPORT_DATA_BYTES:
            raise InputError(f"report data have {REPORT_DATA_BYTES} bytes, found {len(report_data)}")
        quote = self._quote(report_data)
        try:
            enclave = DcapQuote.parse(quote).report
        except EvidenceError as error:
            raise EnvironmentFault(f"{self._directory / 'quote'} gives no quote with its certificates") from error
        if not isinstance(enclave, SgxReport) or enclave.report_data != report_data:
            raise EnvironmentFault(f"{self._directory / 'quote'} gives a quote that is bound to something else")
        report = Report(
            measurement=Measurement(enclave.measurement),
            signer=Measurement(enclave.signer),
            product_id=enclave.product_id,
            svn=enclave.svn,
            debug=enclave.debug,
            data=report_data,
        )
        return Envelope(report=report.to_json(), quote=SgxQuote(quote=quote), signature=b"")

    def _quote(self, report_data: bytes) -> bytes:
        scheme = _read(self._directory / "attestation_type", _TEXT_BYTES_MAX).strip().decode("ascii", "replace")
        if scheme != _SCHEME:
            raise EnvironmentFault(
                f"attestation of this enclave is of type {_SCHEME}, found {scheme or 'none'}", hint=_HINT
            )
        path = self._directory / "user_report_data"
        with _LOCK:
            try:
                with path.open("wb", buffering=0) as attribute:
                    written = attribute.write(report_data)
            except OSError as error:
                raise EnvironmentFault(f"{path} cannot be written: {error.strerror}", hint=_HINT) from error
            if written != len(report_data):
                raise EnvironmentFault(f"{path} takes {len(report_data)} bytes, it took {written}")
            return _read(self._directory / "quote", QUOTE_BYTES_MAX)


def _read(path: Path, limit: int) -> bytes:
    content = bytearray()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while part := os.read(descriptor, limit + 1 - len(content)):
                content += part
        finally:
            os.close(descriptor)
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}", hint=_HINT) from error
    if len(content) > limit:
        raise EnvironmentFault(f"{path} has more than {limit} bytes")
    return bytes(content)
