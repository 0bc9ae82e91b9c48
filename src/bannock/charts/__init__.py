"""Helm charts: written as text, with the parameters that they take described once."""

__all__: list[str] = []
