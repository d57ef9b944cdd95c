"""Checks before publishing: rules as data and pure functions, secrets, fixes."""
