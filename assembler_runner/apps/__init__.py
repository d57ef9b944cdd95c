"""Running apps on this machine."""
