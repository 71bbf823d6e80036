"""
The pages of the documentation as a site: ``make docs`` builds it, strictly, into ``build/site/``.

Here stands how it is built: ``conf.py`` (Sphinx's settings), ``navigation.py`` (the order of the pages),
``files.py`` (pages for files of the repository that a page links to), ``built.py`` (what the built site is
held to). What the site says stands in ``docs/``, and is written to be read on GitHub as well.
"""
