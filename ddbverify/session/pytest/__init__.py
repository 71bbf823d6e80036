"""
Checks under pytest: hooks, items, outcomes, the terminal.

The one place that imports pytest, beside the entry module `ddbverify.pytest_plugin`.

What a session knows belongs in `ddbverify.session`; what checks are written with, in `ddbverify.suite`.

Begin with `hooks`.
"""
