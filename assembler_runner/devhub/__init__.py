"""A stand-in for the Hugging Face Hub, spoken to over real HTTP by the real client."""

from assembler_runner.devhub.accounts import Account
from assembler_runner.devhub.faults import Fault
from assembler_runner.devhub.hub import Record, StandInHub
from assembler_runner.devhub.limits import Limit, Settings
from assembler_runner.devhub.repo import Commit, Repo
from assembler_runner.devhub.runtime import Stage
from assembler_runner.devhub.state import HubState

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
