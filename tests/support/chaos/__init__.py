"""The real service under kills, stops, lost messages and a Hub full of faults; counted from outside afterwards."""

from .counting import Counts, Problem, count
from .model import Result, Sent
from .run import BROKERS, DATABASES, run_chaos

__all__ = ["BROKERS", "DATABASES", "Counts", "Problem", "Result", "Sent", "count", "run_chaos"]
