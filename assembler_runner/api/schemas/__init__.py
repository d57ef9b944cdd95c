"""The schemas of JSON bodies and responses."""
