"""Connections: TLS 1.3 in which a peer is its public key, and HTTP over it, for clients and for services.

Knows nothing of what is said over the connections. Import the modules: :mod:`.tls` and :mod:`.client` are light
enough for the start-up of a runtime, :mod:`.server` is for services.
"""

__all__: list[str] = []
