"""A stand-in for the Hugging Face Hub, spoken to over real HTTP by the real client."""

from .accounts import Account
from .faults import Fault
from .hub import Record, StandInHub
from .limits import Limit, Settings
from .repo import Commit, Repo
from .runtime import Stage
from .state import HubState

__all__ = [
    "Account",
    "Commit",
    "Fault",
    "HubState",
    "Limit",
    "Record",
    "Repo",
    "Settings",
    "Stage",
    "StandInHub",
]
