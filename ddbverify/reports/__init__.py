"""
What people see: tables and summaries, progress, annotations of CI, what a pass will cost.

Texts only: nothing in here decides anything.

Begin with `summary`.
"""
