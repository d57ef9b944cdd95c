"""The settings of a Space beside its files. Each change on its own makes the target start the app again; before a
commit, its build takes the place of all of these.
"""

from __future__ import annotations

from functools import partial

from assembler_runner.publishing import checkpoints
from assembler_runner.publishing.job import Job
from assembler_runner.targets import PublishedSpace, Target

OPENNESS = {"private": 0, "protected": 1, "public": 2}
RUNNING = ("RUNNING", "RUNTIME_ERROR")
"""Stages that show that the app was not started again by itself."""


def apply_first(job: Job, target: Target, space: PublishedSpace) -> Job:
    """Does what has to be there before the files: less visibility, hardware, variables, secrets.

    Args:
        job: the request.
        target: the target.
        space: the Space.
    Returns:
        The job that knows what is done.
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
    """Does what comes after the files: more visibility; a start of the app where neither commit nor target made one.

    Args:
        job: the request.
        target: the target.
        space: the Space.
        built: whether a commit was made.
    """
    visibility = job.environment.get("visibility")
    if visibility and OPENNESS[visibility] > OPENNESS[job.visibility]:
        job = _set_visibility(job, target, space, visibility)
    if not built and restarts(job, target) and target.machine(space).stage in RUNNING:
        job = checkpoints.step(job, "restart", partial(target.restart, space), "The app was started again.")
    return job


def restarts(job: Job, target: Target) -> bool:
    """Returns whether settings were changed that the running app has to be started again for."""
    if job.spec.sdk == "static" or not target.runs_apps:
        return False
    return any(step.startswith(("variable:", "secret:", "hardware")) for step in job.steps_done)


def apply_hardware(job: Job, target: Target, space: PublishedSpace) -> Job:
    """Moves the app to the machine that is asked for, and sets its sleep time."""
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
    told = f"The Space was made {visibility}."
    return checkpoints.step(job, "visibility", act, told, space={"visibility": visibility})


def _apply_variables(job: Job, target: Target, space: PublishedSpace) -> Job:
    wanted = job.environment.get("variables") or {}
    live = target.variables(space) if wanted else {}
    for key, value in sorted(wanted.items()):
        if live.get(key) != value:
            act = partial(target.set_variable, space, key, value)
            done = "removed" if value is None else "set"
            job = checkpoints.step(job, f"variable:{key}", act, f"The variable {key} was {done}.")
    return job
