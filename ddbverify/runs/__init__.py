"""
A gated run: pytest in a child process, its record judged and signed by the parent.

What a check says is decided in the child (`ddbverify.session`); whether anybody may switch, by the gate.

Begin with `run`.
"""
