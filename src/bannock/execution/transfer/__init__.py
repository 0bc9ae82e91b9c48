"""Ciphertext on the move: directories as streams, and the services that keep them on the way."""

__all__: list[str] = []
