"""
One session of checks: its configuration, a pair per table, what each check has come to.

No pytest in the modules of this folder; all of it is in `ddbverify.session.pytest`.

Begin with `checking`.
"""
