"""
Checks under pytest: hooks, items, outcomes, the terminal.

The one place that imports pytest, beside the entry module `ddbverify.pytest_plugin`.

Begin with `hooks`.
"""
