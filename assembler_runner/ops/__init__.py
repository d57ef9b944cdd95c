"""Operation of the service: start, commands, backups, retention."""
