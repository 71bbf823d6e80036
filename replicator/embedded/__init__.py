"""
The embedded AWS: ministack as a child process, for the demonstration and the tests.

Nothing of this is needed, started or installed against real AWS.

::

    with embedded_aws() as aws:
        aws.client("dynamodb", "eu-west-1").list_tables()
        subprocess.run(["replicator", "up"], env=aws.environment("eu-west-1"))

``environment`` installs it, ``process`` keeps a child that ends with its parent. Begin with ``aws``,
which starts it and says how to talk to it.
"""
