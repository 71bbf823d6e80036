"""
Two tables become a `Comparison`: read, joined, judged, settled, added up.

No check, no pytest and no file of a run belongs in here; what a check makes of a comparison is in
`ddbverify.suite`.

Begin with `runner` (one pass over one pair of real tables) and `one_pass` (its steps), then `coscan`
(pages meet), `judge` (two items are judged) and `settle` (a difference is settled). `reading` says
which page is asked for next; `request` says what a pass is asked and who is told.
"""
