"""
One module per command of ``ddbverify``, with its options beside it.

What a command does stands in the room of its subject; a new command is a module here whose ``command``
is a click command, and a line in `ddbverify.cli`, which finds it by its name.

Begin with the module of the command's name; `shared` has what several of them need.
"""
