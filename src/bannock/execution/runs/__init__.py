"""Runs of applications that are images: planned, recorded, carried out on a host, resumed and cancelled."""

__all__: list[str] = []
