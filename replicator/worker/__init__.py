"""
Forwarder and consumer as long-running processes, for those who have no Lambda: `replicator worker`.

The cores are the functions' (`replicator.handlers`); what is here is what Lambda does around them: who reads
which shard, who has messages in hand, batches, retries, the switch.

Begin with `running`.
"""
