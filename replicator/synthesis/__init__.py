"""
The stacks of a migration as files, for the tool that a team deploys with. Pure.

Every form deploys the same CloudFormation stacks, under the same names: so there is one definition of each
resource, and what was deployed can be looked at by its stack. Begin with `deployable`.
"""
