"""Container images: what they are made of, where they come from and go to, and how they become protected ones.

Nothing of an image is ever run or unpacked into a directory here; layers are read as the archives that they are.
"""

__all__: list[str] = []
