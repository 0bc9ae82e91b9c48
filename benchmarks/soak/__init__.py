"""Everything at once for a long time: services with volumes, updates, restarts, faults, attacks; and what is left.

``make soak`` runs it. ``docs/soak.md`` says what it does, and what was found.
"""
