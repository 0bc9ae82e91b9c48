"""Dapps: applications that others start, on ciphertext in one file in, and ciphertext in one file out (iExec, say)."""

__all__: list[str] = []
