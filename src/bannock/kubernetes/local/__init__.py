"""Pods of charts on the container engine of this machine, where there is no cluster."""

__all__: list[str] = []
