"""Finds out what of an image a program uses, by running it once under ``strace``, and what of that to protect."""

__all__: list[str] = []
