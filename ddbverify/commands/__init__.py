"""
One module per command of ``ddbverify``, with its options beside it.

What a command does stands in the room of its subject; `ddbverify.cli` only gathers them.

Begin with the module of the command's name.
"""
