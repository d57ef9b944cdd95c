"""Assembles plugin, parameters and given files to a tree and findings: pure functions, and the plugins they use."""
