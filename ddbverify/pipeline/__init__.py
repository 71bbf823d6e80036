"""
The replication into a target, as far as it can be seen from outside: state table, queue, mappings.

Read-only, and no code of the replicator's. Whether the gate opens on it is decided in `ddbverify.gate`.

Begin with `health`.
"""
