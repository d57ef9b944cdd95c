"""Figures of the dashboard."""

from __future__ import annotations


def summary() -> str:
    """Returns one line about all months."""
    values = PARAMS["rain"].values()
    return f"{sum(values)} {PARAMS['unit']} in {len(values)} months"
