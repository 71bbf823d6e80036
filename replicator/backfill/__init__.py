"""
The target's first filling: preflight, the boundary, backups and restores, the load.

What happens after the load (replay, following) belongs in `replicator.handlers`.

Begin with `filling`, then `load`; `boundary` says where replay starts, `backups` asks AWS for copies.
"""
