"""Why a Space does not run: causes as data, and the reading of logs by them."""

from assembler_runner.runtime.causes.diagnosis import Problem, diagnose

__all__ = ["Problem", "diagnose"]
