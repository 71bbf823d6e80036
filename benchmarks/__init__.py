"""What ddbverify costs per item, measured against a loopback server of scan pages."""
