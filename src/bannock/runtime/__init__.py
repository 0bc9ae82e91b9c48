"""What stands in front of an application: its private root, its attestation, its shielded files, its process."""

__all__: list[str] = []
