"""Collateral: what vendors vouch for, which of it evidence needs, where it is kept, and who is asked for it.

Pure but for the store (a directory) and the clients of the vendors' services.
"""

__all__: list[str] = []
