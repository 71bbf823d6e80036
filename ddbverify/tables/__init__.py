"""
DynamoDB from outside: clients, raw pages, the pace of reading, segments, settings, prices.

Everything that asks AWS about a table is in here, and nothing that judges what it answers.

Begin with `wire` (one page is requested) and `table` (a table is described).
"""
