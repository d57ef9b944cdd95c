"""What became of the app: watches, probes, evaluation, causes, logs."""
