"""Benchmarks: each runs its subject and its opponents in turn in the same run, on this machine."""
