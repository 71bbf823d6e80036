"""
What every command of an operator works with: settings, clients, the lease, the console, tables.

No step of a migration belongs in here: those are in `replicator.commands`.

Begin with `context`.
"""
