"""Errors, settings, database, lists, logs, metrics and encryption; independent of the domain."""
