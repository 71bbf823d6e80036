"""What is deployed: CloudFormation templates, their stacks, and the code of the two functions."""
