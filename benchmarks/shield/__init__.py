"""The file shield beside its peers: the same work on Bannock, gocryptfs, bindfs and a plain directory, on one disk.

``make bench-shield`` runs it. ``docs/performance.md`` says how it measures, and what was found.
"""
