"""``scone cas register-backup``: let another CAS read the data of a CAS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.cas_register import register_cas
from bannock.remote.owner_client import Registration

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Let another CAS, on another machine, read the data of a CAS, so that it can take over. The two attest each other, and
the key of the data goes from one to the other, not through this command. Both have to run. Only the owner can do
this."""
_EXAMPLES: Final = """\
  scone cas register-backup backup.example.com
  scone cas register-backup --cas cas.example.com backup.example.com:8081"""


def main(arguments: Sequence[str]) -> int:
    """Parse, register."""
    register_cas(SconeParser("cas register-backup", _DESCRIPTION, _EXAMPLES), arguments, Registration.BACKUP, "backup")
    return 0
