"""How fast a CAS is: attestations, sessions and tag updates a second, beside the TLS handshakes that OpenSSL does.

``make bench-cas`` runs it.
"""
