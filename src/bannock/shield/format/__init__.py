"""The format of protected file systems: sealed pages, a tree in them, and files and directories in that.

Knows nothing of mounts, CAS or processes; ``docs/formats/fspf.md`` is its specification.
"""

__all__: list[str] = []
