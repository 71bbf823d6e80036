"""
The target's first filling: preflight, the boundary, backups and restores, the load.

Begin with `filling`, then `load`.
"""
