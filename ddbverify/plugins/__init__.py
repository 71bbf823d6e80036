"""
What plugins may say: the hooks, how plugins are found and loaded, and how they are asked.

The negative controls that catch a plugin which hides everything run through the engine, and are
in `ddbverify.compare`.

Begin with `hookspecs`.
"""
