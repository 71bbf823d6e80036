"""
The demonstration: a whole migration under traffic on an embedded AWS, and the proof at its end.

`stage` makes tables and application, `traffic` writes and journals, `shapes` finds keys, `shell` runs our
commands, `proof` judges with plain boto3 and the journal, `fence` is the command that a cutover calls. Begin
with `story`, which tells it. `own_account` tells it in an account of the user's: `beforehand`, `leftovers`,
`spending` and `result` are its own. Nothing of a real migration needs this room.
"""
