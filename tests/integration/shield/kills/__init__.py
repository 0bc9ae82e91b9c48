"""A workload on protected volumes that is killed again and again; ``python -m tests.integration.shield.kills``."""
