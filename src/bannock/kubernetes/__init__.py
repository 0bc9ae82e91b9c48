"""What a cluster of Kubernetes needs of Bannock: devices for containers, and a CAS with an owner."""

__all__: list[str] = []
