"""
The words that a check is written in: the pair, marks, verdicts, checks on items.

No pytest: how checks run is in `ddbverify.session`.

Begin with `pair`, then `verdicts`.
"""
