"""The page on hosts says what the commands do."""

from __future__ import annotations

import re
from pathlib import Path

from bannock.errors import EnvironmentFault
from bannock.execution.hosts.check import judge
from bannock.execution.hosts.facts import Facts
from tests.unit.execution.hosts.test_check import FACTS

_PAGE = Path(__file__).parents[4] / "docs" / "hosts.md"


def test_all_that_is_looked_at() -> None:
    """The page has a row for each thing that is looked at, in the order in which it is told."""
    rows = re.findall(r"^\| `(\w+)` \| (?:yes|no|1 GiB|for) ?", _PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert rows == ["ssh", *(finding.what for finding in judge(FACTS, alias="caroline", machine="x86_64"))]


def test_what_is_needed() -> None:
    """What can be missing is what the page says is needed."""
    needed = set(re.findall(r"^\| `(\w+)` \| (?:yes|1 GiB) \|", _PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    error = EnvironmentFault("not there")
    bad = Facts(engine=error, system=error, tunnel=error, las=error, las_place="127.0.0.1:18766")
    missing = {finding.what for finding in judge(bad, alias="c", machine="x86_64") if finding.state == "missing"}
    assert missing <= needed
