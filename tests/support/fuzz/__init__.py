"""Fuzzing of the real service on loopback: `invoke fuzz`."""
