"""Loads the pytest plugin for this repository, nothing more."""

pytest_plugins = ["ddbverify.pytest_plugin", "pytester"]  # pytester: for the plugin's own tests
