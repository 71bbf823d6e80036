"""
The user's code: which files of it decide what a transform makes and what a check says, and their digests.

A file is the user's unless it belongs to Python, to an installed distribution or to ddbverify itself.

Begin with `reach` (which modules), then `digest` (what is bound).
"""
