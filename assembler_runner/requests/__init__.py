"""The caller's side of the queue: prepare, submit, update, move, cancel, quotas, buckets."""
