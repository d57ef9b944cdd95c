"""The JSON that comes in, and the JSON that goes out."""
