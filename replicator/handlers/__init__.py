"""
What runs in Lambda: the forwarder, the consumer, and the modules they need.

The bundle takes this room, and the light modules of ddbverify that it names; nothing of it may need
more than the standard library, boto3 and powertools.

Begin with `forwarder` (a stream record becomes a message), then `envelope`, then `consumer` (a
message becomes changes), `applier` (what becomes of each) and `ledger` (a change is written).
"""
