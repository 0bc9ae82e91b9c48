"""How long it takes to appraise evidence, beside a verifier in Rust where there is one."""
