"""
``report.html``: one page on a run or a diff, to send around. It decides nothing, and reads no table.

What is here turns a folder into bytes: the same folder into the same bytes, so that a page can be made
anew and compared. Words of a terminal or a job summary are `ddbverify.reports`.

Begin with `making`; `origin` and `tally` read, `told` and `plots` are pure, `view` brings them together,
`templates/` is what a browser sees, and `proof` says whether a page is unaltered.
"""
