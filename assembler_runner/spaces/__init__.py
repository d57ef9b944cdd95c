"""Spaces and requests: tables, transitions, app states, events, names, leases."""
