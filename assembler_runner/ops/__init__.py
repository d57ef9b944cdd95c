"""How the service is started, operated, backed up and cleaned."""
