"""Restart or pause the app of a Space, or change its hardware."""

from __future__ import annotations

from assembler_runner.publishing import checkpoints
from assembler_runner.publishing.actions import variables
from assembler_runner.publishing.actions.base import Done
from assembler_runner.publishing.job import Job
from assembler_runner.spaces.app_state import BUILDING, PAUSED, STARTING

ON_ITS_WAY = ("BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING")
STATES = {"restart": STARTING, "wake": STARTING, "factory_rebuild": BUILDING}


def restart(job: Job) -> Done:
    """Restarts the app; `factory_rebuild` builds it from scratch, `wake` does nothing if the app runs."""
    target, space = job.usable_target(), job.published()
    stage = target.machine(space).stage if job.sent_at or job.action == "wake" else None
    if job.sent_at and stage in ON_ITS_WAY:
        return Done(state=STATES[job.action], summary="was already starting")
    if job.action == "wake" and stage in ("RUNNING", *ON_ITS_WAY):
        return Done(event=("unchanged", "The app was already awake."), request={"unchanged": True})
    checkpoints.check_cancelled(job)
    checkpoints.mark_sent(job)
    target.restart(space, factory=job.action == "factory_rebuild")
    return Done(state=STATES[job.action], summary=f"did {job.action}")


def pause(job: Job) -> Done:
    """Pauses the app until it is restarted."""
    target, space = job.usable_target(), job.published()
    checkpoints.check_cancelled(job)
    checkpoints.mark_sent(job)
    target.pause(space)
    return Done(state=PAUSED, summary="paused")


def change(job: Job) -> Done:
    """Changes the hardware or the sleep time of the app."""
    target, space = job.usable_target(), job.published()
    before = len(job.steps_done)
    job = variables.apply_hardware(job, target, space)
    if len(job.steps_done) == before == 0:
        return Done(event=("unchanged", "The hardware was already as requested."), request={"unchanged": True})
    return Done(state=STARTING if "hardware" in job.steps_done else None, summary="changed the hardware")
