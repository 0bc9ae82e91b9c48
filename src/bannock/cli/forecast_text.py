"""The forecast as text: which services would stop attesting, the first to stop first."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["forecast_lines", "outlook_lines", "replay_lines"]


def forecast_lines(outlooks: Iterable[Mapping[str, Any]], at: dt.datetime, *, days: int | None) -> list[str]:
    """Tell of each service with its machine; nothing to tell is told too."""
    found = list(outlooks)
    if not found:
        within = "" if days is None else f" within {days} days"
        return [f"No service is known to stop attesting{within}. (Nothing that could end stands behind platform sim.)"]
    return [line for each in found for line in outlook_lines(each, at)]


def replay_lines(found: Mapping[str, Any]) -> list[str]:
    """Tell what would change."""
    at = dt.datetime.fromisoformat(found["at"])
    lines = [f"{len(found['stops'])} of {found['total']} would stop"]
    lines += [line for each in found["stops"] for line in outlook_lines(each, at)]
    if found["recovers"]:
        lines.append(f"{len(found['recovers'])} that are refused now would be let in again")
    return lines


def outlook_lines(outlook: Mapping[str, Any], at: dt.datetime) -> list[str]:
    """Tell of one."""
    where = f"{outlook['platform']}, machine {str(outlook['machine'])[:24]}, seen {outlook['seen']}"
    lines = [f"{_when(outlook, at)}  {outlook['session']} / {outlook['service']}  ({where})"]
    lines += [f"    {each}" for each in outlook["why"]]
    if outlook["remedy"]:
        lines.append(f"    {outlook['remedy']}")
    return lines


def _when(outlook: Mapping[str, Any], at: dt.datetime) -> str:
    if outlook["stopped"]:
        return "stopped already     "
    if outlook["until"] is None:
        return "never               "
    left = (dt.datetime.fromisoformat(outlook["until"]) - at).total_seconds()
    return f"{outlook['until']}  in {max(0, int(left // 86400))} days"
