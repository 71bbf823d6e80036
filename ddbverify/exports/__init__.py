"""
Tables as point-in-time exports in S3, or as copies of such exports in a folder.

An export is believed only as far as it is proven whole: manifests, each part's checksum and length, and
the number of its items. What is not proven was not read.

Begin with `export` (an address becomes an `Export`) and `reader` (its parts become pages).
"""
