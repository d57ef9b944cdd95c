"""The state of published apps: watches, probes, evaluation, causes, logs."""
