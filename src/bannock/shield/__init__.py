"""Protected file systems: the format, the volume, and the mounts that put it under unmodified programs."""

__all__: list[str] = []
