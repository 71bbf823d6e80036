"""
One item: its typed and its Python form, its canonical form, its digest, why two differ, transforms.

Pure: nothing in here reads a table or a file, but for the code of a transform. What two whole
tables come to belongs in `ddbverify.compare`.

Begin with `form` (what an item means, so that two can be equal), `keys` (by what are they joined?)
and `transform` (what does a source item become?).
"""
