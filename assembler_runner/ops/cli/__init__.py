"""Command-line interface of the server."""
