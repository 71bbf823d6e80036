"""
What each command of ``replicator`` does, step by step.

Begin with the module of the command's name; ``up`` and ``restore`` are in `migration`.
"""
