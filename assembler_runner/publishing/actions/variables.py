"""The settings of a Space other than its files. Each change makes the target restart the app; settings are changed
before a commit, so that its build replaces these restarts.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from assembler_runner.core.vault import UnreadableSecret
from assembler_runner.publishing import checkpoints
from assembler_runner.publishing.job import Job
from assembler_runner.spaces.models import MAKING
from assembler_runner.targets import PublishedSpace, Target

OPENNESS = {"private": 0, "protected": 1, "public": 2}
RUNNING = ("RUNNING", "RUNTIME_ERROR")
"""Stages that show that the target has not restarted the app."""


def apply_first(job: Job, target: Target, space: PublishedSpace) -> Job:
    """Applies the settings that must precede the files: reduced visibility, hardware, variables, secrets.

    Args:
        job: the request.
        target: the target.
        space: the Space.
    Returns:
        The job with the steps recorded.
    """
    visibility = job.environment.get("visibility")
    if visibility and OPENNESS[visibility] <= OPENNESS[job.visibility]:
        job = _set_visibility(job, target, space, visibility)
    if target.runs_apps:
        job = apply_hardware(job, target, space)
    job = _apply_variables(job, target, space)
    if target.runs_apps:
        for key, value in sorted(job.secrets().items()):
            act = partial(target.set_secret, space, key, value)
            done = "removed" if value is None else "set"
            job = checkpoints.step(job, f"secret:{key}", act, f"The secret {key} was {done}.")
    return job


def apply_last(job: Job, target: Target, space: PublishedSpace, *, built: bool) -> Job:
    """Applies what follows the files: increased visibility, and a restart if neither commit nor target caused one.

    Args:
        job: the request.
        target: the target.
        space: the Space.
        built: whether a commit was made.
    Returns:
        The job with the steps recorded.
    """
    visibility = job.environment.get("visibility")
    if visibility and OPENNESS[visibility] > OPENNESS[job.visibility]:
        job = _set_visibility(job, target, space, visibility)
    if not built and restarts(job, target) and target.machine(space).stage in RUNNING:
        job = checkpoints.step(job, "restart", partial(target.restart, space), "The app was restarted.")
    return job


def recorded(job: Job, target: Target, *, succeeded: bool) -> dict[str, Any]:
    """Returns the columns of the Space with its variables and the names of its secrets, after a request.

    Args:
        job: the request.
        target: the target.
        succeeded: whether the request succeeded; of a failed one, only the completed steps count.
    """

    def kept(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in given.items() if succeeded or f"{kind}:{key}" in job.steps_done}

    if job.action in MAKING and not succeeded:
        return {}
    variables = kept("variable", job.environment.get("variables") or {})
    secrets = kept("secret", _secrets_of(job)) if target.runs_apps else {}
    values: dict[str, Any] = {}
    if variables or job.action in MAKING:
        both = {**job.variables, **variables}
        values["variables"] = {key: value for key, value in both.items() if value is not None}
    if secrets or job.action in MAKING:
        removed = {key for key, value in secrets.items() if value is None}
        values["secret_names"] = sorted((job.secret_names | secrets.keys()) - removed)
    return values


def _secrets_of(job: Job) -> Mapping[str, str | None]:
    try:
        return job.secrets()
    except UnreadableSecret:
        return {}


def restarts(job: Job, target: Target) -> bool:
    """Returns whether a changed setting requires a restart of the running app."""
    if job.spec.sdk == "static" or not target.runs_apps:
        return False
    return any(step.startswith(("variable:", "secret:", "hardware")) for step in job.steps_done)


def apply_hardware(job: Job, target: Target, space: PublishedSpace) -> Job:
    """Sets the requested hardware and sleep time of the app, if they differ from the current ones."""
    flavor, sleep_time = job.environment.get("hardware"), job.environment.get("sleep_time")
    if flavor is None and sleep_time is None:
        return job
    machine = target.machine(space)
    if flavor is not None and flavor != machine.hardware:
        act = partial(target.set_hardware, space, flavor, sleep_time)
        return checkpoints.step(job, "hardware", act, f"The hardware was set to {flavor}.")
    if sleep_time is not None and sleep_time != machine.sleep_time:
        act = partial(target.set_sleep_time, space, sleep_time)
        return checkpoints.step(job, "sleep_time", act, f"The sleep time was set to {sleep_time} seconds.")
    return job


def _set_visibility(job: Job, target: Target, space: PublishedSpace, visibility: str) -> Job:
    act = partial(target.set_visibility, space, visibility)
    message = f"The Space was made {visibility}."
    return checkpoints.step(job, "visibility", act, message, space={"visibility": visibility})


def _apply_variables(job: Job, target: Target, space: PublishedSpace) -> Job:
    wanted = job.environment.get("variables") or {}
    live = target.variables(space) if wanted else {}
    for key, value in sorted(wanted.items()):
        if live.get(key) != value:
            act = partial(target.set_variable, space, key, value)
            done = "removed" if value is None else "set"
            job = checkpoints.step(job, f"variable:{key}", act, f"The variable {key} was {done}.")
    return job
