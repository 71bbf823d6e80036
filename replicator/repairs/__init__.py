"""
A repair of what a verification has found: `repair.json`, applied.

It decides by the verifier's digests and writes as the consumer does, under the ledger, or without a
pipeline on condition that the target is as it was read. What it came to the verifier says, not this.

Begin with `deciding`.
"""
