"""Git repositories of this service's own."""
