"""AMD SEV-SNP: attestation reports of a guest, the chain up to AMD, and what both prove. Pure.

Sources: AMD 56860, SEV Secure Nested Paging Firmware ABI Specification, 1.58; AMD 57230, VCEK Certificate and KDS
Interface Specification, 1.00; AMD 56421, SEV-ES Guest-Hypervisor Communication Block Standardization, 2.03.
"""

__all__: list[str] = []
