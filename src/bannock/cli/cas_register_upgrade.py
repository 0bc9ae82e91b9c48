"""``scone cas register-upgrade``: let a CAS of newer software read the data of a CAS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.cas_register import register_cas
from bannock.remote.owner_client import Registration

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Let a CAS that runs other software, a newer version, read the data of a CAS, to replace it. Name its measurement. Then
`scone cas start-upgrade` puts the data under new keys, which the old software does not have. Only the owner
can do this."""
_EXAMPLES: Final = """\
  scone cas register-upgrade new.example.com --mrenclave $NEW_MRENCLAVE"""


def main(arguments: Sequence[str]) -> int:
    """Parse, register."""
    register_cas(
        SconeParser("cas register-upgrade", _DESCRIPTION, _EXAMPLES), arguments, Registration.UPGRADE, "upgrade"
    )
    return 0
