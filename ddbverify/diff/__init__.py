"""
Two tables compared from the command line, without a suite of checks.

Begin with `diff`.
"""
