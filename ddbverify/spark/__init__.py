"""
The same comparison on Spark: each part of an export is a task, and keys meet behind a shuffle. Of live tables
each segment is a task, and its keys meet there.

Everything that decides knows no Spark (`tasks`, `rows`, `receipts`, `scan`), so that it can be run without
one; no other room imports pyspark. No value leaves a task but to another task, and to the process that asked:
none stands in an exception, a plan or a log.

Begin with `scan`, the pass as the process sees it that asked for it, and `tasks`, what runs elsewhere;
of live tables with `live` and `segments`.
"""
