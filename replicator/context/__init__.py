"""
What every command of an operator works with: settings, clients, the lease, the console, tables.

Begin with `context`.
"""
