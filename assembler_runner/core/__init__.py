"""Errors, settings, the database and its lists, logs, metrics, encryption: knows no domain."""
