"""The caller's side, before the queue: prepare, submit, update, move, cancel, quotas, buckets."""
