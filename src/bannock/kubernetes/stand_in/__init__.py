"""What stands in for kubectl and helm where pods run on the local engine and not in a cluster."""

__all__: list[str] = []
