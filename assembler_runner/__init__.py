"""Assembler: a self-hosted factory for Spaces."""

__version__ = "0.2.0"
