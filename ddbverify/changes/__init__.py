"""
What has changed in a table since a moment: its stream, places in it, the keys of its records.

The verifier's own reading: no ledger, no queue and no code of the replicator's has a say in it.

Begin with `following`.
"""
