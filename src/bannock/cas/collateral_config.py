"""The section ``[collateral]`` of a CAS's configuration: where endorsements are kept, and whom they are asked from.

::

    [collateral]
    directory = "/var/lib/bannock/cas/collateral"  # beside the database without it
    pcs = "https://api.trustedservices.intel.com"  # Intel's service, or a cache of it (PCCS)
    kds = "https://kdsintf.amd.com"                # AMD's service, or a cache of it
    ca_file = "/etc/ssl/pccs.pem"                  # who vouches for them; the authorities of the system without it
    offline = false                                # true: nobody is asked, and all has to be imported
    refresh = 24                                   # hours after which what is kept is asked for anew
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COLLATERAL_KEYS", "CollateralConfig"]

COLLATERAL_KEYS: Final = frozenset({"directory", "pcs", "kds", "ca_file", "offline", "refresh"})
_INTEL_PCS: Final = "https://api.trustedservices.intel.com"
_AMD_KDS: Final = "https://kdsintf.amd.com"
_REFRESH_HOURS: Final = 24
#: What Intel signs is good for 30 days; whoever asks less often than once a week has it end now and then.
_REFRESH_HOURS_MAX: Final = 7 * 24


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralConfig:
    """Where endorsements come from.

    Attributes:
        directory: None for one beside the database.
        pcs, kds: addresses of the services.
        ca_file: PEM of the authorities that vouch for both; None for those of the system.
        offline: whether nobody is asked.
        refresh: after which time what is kept is asked for anew.
    """

    directory: Path | None = None
    pcs: str = _INTEL_PCS
    kds: str = _AMD_KDS
    ca_file: Path | None = None
    offline: bool = False
    refresh: timedelta = timedelta(hours=_REFRESH_HOURS)

    @classmethod
    def from_mapping(cls, table: Mapping[str, object]) -> Self:
        """Read the section; its keys are known to be these.

        Raises:
            InputError: a value cannot be.
        """
        hours, offline = table.get("refresh", _REFRESH_HOURS), table.get("offline", False)
        if type(hours) is not int or not 1 <= hours <= _REFRESH_HOURS_MAX:
            raise InputError(f"[collateral] refresh is 1 to {_REFRESH_HOURS_MAX} hours")
        if not isinstance(offline, bool):
            raise InputError("[collateral] offline is true or false")
        return cls(
            directory=_path(table, "directory"),
            pcs=_url(table, "pcs", _INTEL_PCS),
            kds=_url(table, "kds", _AMD_KDS),
            ca_file=_path(table, "ca_file"),
            offline=offline,
            refresh=timedelta(hours=hours),
        )


def _path(table: Mapping[str, object], name: str) -> Path | None:
    value = table.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise InputError(f"[collateral] {name} is a path in quotes")
    return Path(value)


def _url(table: Mapping[str, object], name: str, default: str) -> str:
    value = table.get(name, default)
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise InputError(f"[collateral] {name} is an address with https://, without query")
    return str(value).rstrip("/")
