"""Bytes by digest: paths, trees, archives, the stores, the tables of buckets."""
