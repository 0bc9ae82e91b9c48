"""From rules for machines in wire form to what they mean.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.policy._bound import all_of, one
from bannock.policy.machines import MIGRATION_AGENT, MachineRule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bannock.policy import _wire_machines as wire

__all__ = ["build_machines"]


def build_machines(rules: Iterable[wire.MachineWire]) -> tuple[MachineRule, ...]:
    """Build rules for which no secrets stand."""
    return tuple(_rule(rule) for rule in rules)


def _rule(rule: wire.MachineWire) -> MachineRule:
    if rule.tdx is not None:
        return MachineRule(platform="tdx", values=dict(_listed(one(rule.tdx))))
    if rule.sev_snp is not None:
        return _snp(one(rule.sev_snp))
    return _tpm(one(rule.tpm))


def _listed(model: wire.TdxWire | wire.SnpWire) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Give the names of a model that hold lists of accepted values, and those."""
    for name in type(model).model_fields:
        values = getattr(model, name)
        if isinstance(values, list):
            yield name, all_of(values)


def _snp(model: wire.SnpWire) -> MachineRule:
    lowest: dict[str, int] = {}
    if model.guest_svn is not None:
        lowest["guest_svn"] = one(model.guest_svn)
    if model.minimum_tcb is not None:
        tcb = one(model.minimum_tcb)
        parts = {name: getattr(tcb, name) for name in type(tcb).model_fields}
        lowest |= {f"tcb_{name}": one(value) for name, value in parts.items() if value is not None}
    # What the measurement does not cover, and whoever starts the guest may allow.
    without = {} if model.policy is not None else {"policy": (MIGRATION_AGENT, "a migration agent")}
    return MachineRule(platform="sev-snp", values=dict(_listed(model)), at_least=lowest, without=without)


def _tpm(model: wire.TpmWire | None) -> MachineRule:
    values: dict[str, tuple[str, ...]] = {}
    if model is not None:
        pcrs = one(model.pcrs)
        for bank, given in (("sha256", pcrs.sha256), ("sha384", pcrs.sha384)):
            for index, digests in one(given).items():
                values[f"pcr.{bank}.{index}"] = all_of(digests)
        if model.secure_boot is not None:
            values["secure_boot"] = (one(model.secure_boot),)
    return MachineRule(platform="tpm", values=values)
