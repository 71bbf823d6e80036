"""
What would go wrong in a migration, found before `replicator up`: facts become findings, nothing is changed.

Begin with `findings` (what a finding is, and what they come to) and `examination` (what is asked of AWS, and
handed to which check). What could not be asked is `looking.Unknown`, never fine. All other modules are pure:
facts in, findings out, one subject each.
"""
