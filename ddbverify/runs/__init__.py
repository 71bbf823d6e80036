"""
A gated run: pytest in a child process, its record judged and signed by the parent.

Begin with `run`.
"""
