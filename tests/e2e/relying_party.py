"""A relying party, a process of its own: ``relying_party.py EXAMPLE HOST PORT`` runs an example of the documentation.

The example finds ``host`` and ``port``, and the files that it names in the working directory.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bannock.errors import BannockError, render


def main(example: str, host: str, port: str) -> None:
    """Run the example, and print what the service answers."""
    names: dict[str, object] = {"host": host, "port": int(port)}
    try:
        exec(compile(Path(example).read_text(), example, "exec"), names)  # noqa: S102 - our own documentation
    except BannockError as error:
        sys.exit("\n".join(render(error)))
    sys.stdout.write(str(names["answer"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
