"""
What a run leaves behind: the record of its checks, the signed evidence, folders, the row of runs.

Nothing in here decides whether a gate opens: that is `ddbverify.gate`.

Begin with `evidence`, then `envelope` (how it is signed).
"""
