"""What clients of a CAS do: attest it, ask it, own it, and check what it says."""

__all__: list[str] = []
