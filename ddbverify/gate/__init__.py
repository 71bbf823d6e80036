"""
Whether anybody may switch: what has to hold, what does not, and the reasons.

Nothing in here reads an item: the gate judges what a run has left, and what is so now.

Begin with `gate`; `requirements`, `unclaimed` and `superseded` beside it give reasons, too.
"""
