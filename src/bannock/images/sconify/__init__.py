"""Protected images from native ones: what is protected, sealing it, the session for it. Runs nothing of an image."""

__all__: list[str] = []
