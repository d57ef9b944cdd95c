"""What the app of a Space runs on: start it again, pause it, move it to another machine."""

from __future__ import annotations

from assembler_runner.publishing import checkpoints
from assembler_runner.publishing.actions import variables
from assembler_runner.publishing.actions.base import Done
from assembler_runner.publishing.job import Job
from assembler_runner.spaces.app_state import BUILDING, PAUSED, STARTING

ON_ITS_WAY = ("BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING")
STATES = {"restart": STARTING, "wake": STARTING, "factory_rebuild": BUILDING}


def restart(job: Job) -> Done:
    """Starts the app again; `factory_rebuild` builds it from scratch, `wake` leaves one that runs alone."""
    target, space = job.usable_target(), job.published()
    stage = target.machine(space).stage if job.sent_at or job.action == "wake" else None
    if job.sent_at and stage in ON_ITS_WAY:
        return Done(state=STATES[job.action], told="was starting already")
    if job.action == "wake" and stage in ("RUNNING", *ON_ITS_WAY):
        return Done(event=("unchanged", "The app was awake already."), request={"unchanged": True})
    checkpoints.check_cancelled(job)
    checkpoints.mark_sent(job)
    target.restart(space, factory=job.action == "factory_rebuild")
    return Done(state=STATES[job.action], told=f"did {job.action}")


def pause(job: Job) -> Done:
    """Stops the app until it is started again."""
    target, space = job.usable_target(), job.published()
    checkpoints.check_cancelled(job)
    checkpoints.mark_sent(job)
    target.pause(space)
    return Done(state=PAUSED, told="paused")


def change(job: Job) -> Done:
    """Moves the app to another machine, or sets when it sleeps."""
    target, space = job.usable_target(), job.published()
    before = len(job.steps_done)
    job = variables.apply_hardware(job, target, space)
    if len(job.steps_done) == before == 0:
        return Done(event=("unchanged", "The hardware was so already."), request={"unchanged": True})
    return Done(state=STARTING if "hardware" in job.steps_done else None, told="changed the hardware")
