"""
One module per command of ``replicator``, with its options beside it; `replicator.cli` only gathers them.

Begin with the module of the command's name; `invocation` is how it is called. `up` and `restore` are the
two phases: `phases` holds what they share, `steps` how a step is recorded. `restart` takes both again.
"""
