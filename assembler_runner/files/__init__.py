"""Content-addressed files: paths, trees, archives, file stores, and the tables of buckets."""
