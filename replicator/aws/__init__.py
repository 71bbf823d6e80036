"""
The pieces of AWS that a migration moves: queues, mappings, streams, the fence, the canary, metrics.

One subject a module. The order in which they are used belongs in `replicator.commands`.

Begin with the module of the subject: `policy_fence` (raised by the table's policy) and `fence` (which
kind, or your own command), `pointer`, `switch` (the mappings), `stream_switch`, `queue`, `canary` and
`readers` (whom it reaches).
"""
