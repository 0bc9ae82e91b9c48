"""Options of the signer's verbs: the settings of an enclave, from arguments and from the environment."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bannock.errors import InputError
from bannock.files import read_private
from bannock.identity.debug_key import debug_signing_key
from bannock.identity.settings import EXTENSIONS
from bannock.identity.sigstruct import (
    FLAG_DEBUG,
    FLAG_MODE64BIT,
    NUMBER_MAX,
    XFRM_LEGACY,
    Attributes,
    require_signing_key,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

__all__ = [
    "SigningOptions",
    "add_environment",
    "add_settings",
    "add_signing",
    "settings_of",
    "signing_key",
    "signing_options",
]

#: Option → variable, what it is, and the values that it may have (None: any).
_SETTINGS: Final = {
    ("-H", "--heap"): ("SCONE_HEAP", "heap size (default 64M)", None),
    ("-M", "--minheap"): ("SCONE_MIN_HEAP", "minimal heap size (default 8M)", None),
    ("-S", "--stack"): ("SCONE_STACK", "stack size (default 2M)", None),
    ("-t", "--tcs"): ("SCONE_TCS", "number of threads in the enclave (default 8)", None),
    ("-d", "--dlopen"): (
        "SCONE_ALLOW_DLOPEN",
        "libraries loaded later: 0 none, 1 protected ones, 2 any, for debugging (default 0)",
        ("0", "1", "2"),
    ),
    ("-m", "--mprotect"): ("SCONE_MPROTECT", "mprotect: 0 off, 1 on (default 0)", ("0", "1")),
    ("-f", "--fork"): ("SCONE_FORK", "fork: 0 off, 1 on (default 0)", ("0", "1")),
    ("--extensions",): (EXTENSIONS, "file-system images, separated by ':'", None),
}
_NUMBERS: Final = {
    ("--isvsvn",): ("SCONE_ISVSVN", "security version number (default 0)"),
    ("--isvprodid",): ("SCONE_ISVPRODID", "product id (default 0)"),
    ("-x", "--xfrm"): ("SCONE_XFRM", "states of the processor that the enclave may use (default 3)"),
    ("--miscselect",): ("SCONE_MISCSELECT", "MISCSELECT (default 0)"),
}
_UINT64_MAX: Final = (1 << 64) - 1
_UINT32_MAX: Final = (1 << 32) - 1
_OFF: Final = ("", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningOptions:
    """What is signed beside the measurement, and with which key.

    Attributes:
        key: the signer's.
        product_id, svn, attributes, misc_select: fields of the SIGSTRUCT.
        date: when it is signed; None: today.
    """

    key: RSAPrivateKey
    product_id: int
    svn: int
    attributes: Attributes
    misc_select: int
    date: dt.date | None


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options for settings that are measured."""
    for options, (variable, what, choices) in _SETTINGS.items():
        parser.add_argument(
            *options, dest=variable, choices=choices, metavar=_metavar(options), help=f"{what} [{variable}]"
        )
    add_environment(parser)


def add_environment(parser: argparse.ArgumentParser) -> None:
    """Add ``--env``."""
    parser.add_argument(
        "-e", "--env", action="store_true", help="take SCONE_* from the environment where no argument says otherwise"
    )


def add_signing(parser: argparse.ArgumentParser) -> None:
    """Add the options for what is signed beside the measurement."""
    for options, (variable, what) in _NUMBERS.items():
        parser.add_argument(*options, dest=variable, metavar=_metavar(options), help=f"{what} [{variable}]")
    parser.add_argument(
        "-k",
        "--key",
        dest="SCONE_KEY",
        metavar="PATH",
        help="private key in PEM, RSA with 3072 bits and exponent 3; without one, the built-in debug key [SCONE_KEY]",
    )
    parser.add_argument(
        "-p",
        "--production",
        action="store_true",
        help="no debugger may look into the enclave; needs a key of one's own [SCONE_PRODUCTION]",
    )
    parser.add_argument(
        "--syslibs",
        choices=("0", "1"),
        metavar="SYSLIBS",
        help="taken for compatibility: libraries of the system are always found, and measured [SCONE_SYSLIBS]",
    )
    parser.add_argument(
        "--sconify", action="store_true", help="taken for compatibility: programs run as they are, unmodified"
    )
    parser.add_argument(
        "--date", type=_date, metavar="YYYY-MM-DD", help="when it is signed (today); the same date, the same bytes"
    )


def settings_of(parsed: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the measured settings that are given, as they are given."""
    names = [variable for variable, _, _ in _SETTINGS.values()]
    return {name: value for name in names if (value := _given(parsed, environment, name)) is not None}


def signing_options(parsed: argparse.Namespace, environment: Mapping[str, str]) -> SigningOptions:
    """Return what is signed beside the measurement.

    Raises:
        InputError: a number or the key is not usable, or production mode is asked for without a key.
    """
    production = parsed.production or (parsed.env and _truth(environment.get("SCONE_PRODUCTION")))
    path = _given(parsed, environment, "SCONE_KEY")
    if production and path is None:
        raise InputError(
            "everybody has the built-in key, so what it signs does not run in production mode",
            hint="make a key (openssl genrsa -3 -out enclave-key.pem 3072), and sign with --key enclave-key.pem",
        )
    xfrm = _number(parsed, environment, "SCONE_XFRM", XFRM_LEGACY, _UINT64_MAX)
    if xfrm & XFRM_LEGACY != XFRM_LEGACY:
        raise InputError(f"SCONE_XFRM has at least the bits 0 and 1 (3), found {xfrm:#x}")
    return SigningOptions(
        key=debug_signing_key() if path is None else signing_key(Path(path)),
        product_id=_number(parsed, environment, "SCONE_ISVPRODID", 0, NUMBER_MAX),
        svn=_number(parsed, environment, "SCONE_ISVSVN", 0, NUMBER_MAX),
        attributes=Attributes(FLAG_MODE64BIT | (0 if production else FLAG_DEBUG), xfrm),
        misc_select=_number(parsed, environment, "SCONE_MISCSELECT", 0, _UINT32_MAX),
        date=parsed.date,
    )


def _truth(text: str | None) -> bool:
    """Whether a variable switches something on."""
    return (text or "") not in _OFF


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--date is YYYY-MM-DD, found {text[:40]!r}") from error


def _metavar(options: tuple[str, ...]) -> str:
    return options[-1].lstrip("-").upper()


def _given(parsed: argparse.Namespace, environment: Mapping[str, str], name: str) -> str | None:
    value: str | None = getattr(parsed, name)
    if value is not None:
        return value
    return environment.get(name) or None if parsed.env else None


def _number(parsed: argparse.Namespace, environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = _given(parsed, environment, name)
    if text is None:
        return default
    try:
        number = int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        raise InputError(f"{name} is a number from 0 to {most}, found {text[:40]!r}")
    return number


def signing_key(path: Path) -> RSAPrivateKey:
    """Read the private key of a signer.

    Raises:
        InputError: the file is open to others, or holds no key that can sign enclaves.
    """
    data = read_private(path)
    try:
        key = load_pem_private_key(data, None)
    except TypeError as error:
        raise InputError(
            f"the key {path} is encrypted", hint="decrypt it for signing: openssl rsa -in KEY -out PLAIN"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path} holds no private key in PEM that is understood") from error
    if not isinstance(key, RSAPrivateKey):
        raise InputError(f"{path} is no RSA key", hint="make one: openssl genrsa -3 -out enclave-key.pem 3072")
    require_signing_key(key)
    return key
