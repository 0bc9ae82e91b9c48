"""``scone session update``: replace a session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser, add_cas, cas_of
from bannock.cli.session_exchange import upload
from bannock.cli.session_options import add_session, prepared, session_file
from bannock.policy.signing import Form
from bannock.remote.session_file import open_predecessor, template_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Replace a session of a CAS by what a file says, and print the new hash. Where the file names no predecessor, the hash
of the version in force is asked for and put in, so that a change which somebody else makes meanwhile is not lost: the
CAS refuses this one then. The session has to exist."""
_EXAMPLES: Final = """\
  scone session update session.yml
  scone session update -e MRENCLAVE=$MRENCLAVE session.yml"""


def main(arguments: Sequence[str]) -> int:
    """Parse, find the predecessor, upload, print the hash."""
    parser = SconeParser("session update", _DESCRIPTION, _EXAMPLES)
    add_session(parser)
    add_cas(parser)
    parsed = parser.parse(arguments)
    file = session_file(parsed)
    new = prepared(parsed, file)
    if new.form is Form.PLAIN and new.session is not None and (key := open_predecessor(file.text)) is not None:
        with cas_of(parsed) as cas:
            stored = cas.read_session(new.session.name)
        new = prepared(parsed, template_of(file, entries={key: stored.digest}))
    sys.stdout.write(f"{upload(parsed, new)}\n")
    return 0
