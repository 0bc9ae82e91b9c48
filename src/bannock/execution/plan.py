"""The plan of a run: everything that is decided before anything is done. Pure; it can be printed and compared.

Holds no secret: keys and tags come into being when the plan is applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bannock.execution.application import Application
    from bannock.runtime.settings import Mount
    from bannock.shield.scan import Scan

__all__ = ["OWN_VARIABLES", "Plan"]

#: The variables of a session template that a run sets itself.
OWN_VARIABLES = (
    "SESSION",
    "MRENCLAVE",
    "INPUT_FSPF_KEY",
    "INPUT_FSPF_TAG",
    "OUTPUT_FSPF_KEY",
    "OUTPUT_FSPF_TAG",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run.

    Attributes:
        session: its name, which is new.
        application: what runs.
        host: where, by name.
        input: the directory that is encrypted.
        output: the directory that results are decrypted into.
        scan: what the inputs are.
        variables: further variables of the session template.
        mount: how volumes come under the application.
    """

    session: str
    application: Application
    host: str
    input: Path
    output: Path
    scan: Scan
    variables: Mapping[str, str]
    mount: Mount

    def lines(self) -> list[str]:
        """Say what will be done, for people; values of variables are not shown, for they may be secrets."""
        variables = ", ".join(sorted(self.variables)) or "none"
        return [
            f"session      {self.session} (further variables: {variables})",
            f"application  {self.application.name} from {self.application.directory}",
            f"host         {self.host}, volumes by {self.mount.value}",
            f"input        {self.input}: {self.scan.files} entries, {self.scan.bytes} bytes",
            f"  encrypted here, read at {self.application.input_volume}",
            f"output       {self.output}",
            f"  decrypted here, written at {self.application.output_volume}",
        ]
