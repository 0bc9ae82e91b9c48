"""Hosts: machines that run applications and are not trusted."""

__all__: list[str] = []
