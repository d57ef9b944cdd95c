"""Plugin, parameters and given files become a tree and findings: pure functions, and the plugins they use."""
