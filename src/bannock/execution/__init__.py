"""Encrypted execution on machines that are not trusted: applications, volumes on the move, hosts, and a whole run."""

__all__: list[str] = []
