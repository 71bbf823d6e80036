"""
Numbers of a run, a diff, the gate, a migration and a cutover, for the collectors of whoever operates them.

What is measured is in `measures`, pure and without a library; `textfile`, `otlp` and `statsd` each send it
one way. Whatever fails here is a sentence, and changes no exit status and no verdict.

Begin with `measures`, then `sending`.
"""
