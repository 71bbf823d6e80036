"""
The audit of one pair: the stream itself, held against the ledger; behind the flip, who still writes there.

It travels to Lambda, where `function` audits by a schedule, and is what `replicator audit` and the workers
call: nothing here may need more than the handlers do.

Begin with `auditing`, then `behind_flip`, then `turn` (which of the two it is time for).
"""
