"""
A table that no stack owns, as the documents by which a stack takes it over as it is.

Nothing here writes to AWS: a team reviews the documents and imports them with its own tool.

Begin with `collecting` (a table as AWS describes it) and `cloudformation` (the resource made of that).
"""
