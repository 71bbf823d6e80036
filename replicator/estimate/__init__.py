"""
What a migration will take, said before `replicator up`: time, money, what is made, and which way is cheapest.

Begin with `moved` (what is known of a pair) and `costs` (its time and money). `ways` holds this way against
the others that AWS has, `resources` counts what the stacks make. All of it is pure; the command asks AWS.
"""
