"""``scone session verify``: compare a session of a CAS with a file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser, add_cas, cas_of
from bannock.cli.session_options import add_session, prepared
from bannock.errors import InputError
from bannock.remote.session_file import require_same

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Check that the session which is in force at a CAS is the one in a file, and print its hash. Where the file names no
predecessor, any predecessor is accepted. What differs is told by its place; values that may be secret are not shown.
The access policy of the session decides who may read it."""
_EXAMPLES: Final = """\
  scone session verify session.yml
  scone session verify -e MRENCLAVE=$MRENCLAVE session.yml
  scone session read my-company/app > copy.yml && scone session verify copy.yml"""


def main(arguments: Sequence[str]) -> int:
    """Parse, read, compare, print the hash."""
    parser = SconeParser("session verify", _DESCRIPTION, _EXAMPLES)
    add_session(parser)
    add_cas(parser)
    parsed = parser.parse(arguments)
    expected = prepared(parsed)
    if expected.session is None:
        raise InputError(f"{parsed.file} is encrypted: only the CAS that it is for can tell what it says")
    with cas_of(parsed) as cas:
        stored = cas.read_session(expected.session.name)
    require_same(expected.document, stored.text)
    sys.stdout.write(f"{stored.digest}\n")
    return 0
