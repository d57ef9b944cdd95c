"""The target `local`: git repositories on this machine."""
