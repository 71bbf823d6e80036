"""
Two tables compared from the command line, without a suite of checks.

No evidence is signed in here, and no gate asks for it.

Begin with `diff`.
"""
