"""
The CloudFormation stacks of a migration, and the code that they deploy, as one zip.

Templates are in ``templates/``. When which stack is made is for `replicator.commands` to say.

Begin with `stacks`, then `bundle`. What dashboards show is in `panels`.
"""
