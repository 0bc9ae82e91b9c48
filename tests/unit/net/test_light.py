"""What a runtime starts with is light."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
import bannock.net.client
import bannock.net.tls
print(*sorted({"fastapi", "starlette", "uvicorn", "sqlalchemy", "pydantic", "rich", "yaml"} & set(sys.modules)))
"""


def test_a_client_loads_no_framework() -> None:
    """Neither web framework nor store nor session language is on the start-up path of a runtime."""
    told = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""
