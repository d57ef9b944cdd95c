"""Run an app before it is published: only an app that answers is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assembler_runner.core.errors import AssemblerError
from assembler_runner.core.redaction import Redactor
from assembler_runner.files.tree import Tree
from assembler_runner.publishing import checkpoints
from assembler_runner.publishing.job import Job
from assembler_runner.runtime.app_context import context_of
from assembler_runner.runtime.causes import Problem, diagnose_logs

if TYPE_CHECKING:
    from assembler_runner.apps.trial import TrialResult

_STEP, _STORED = "verify", "STORED"


class VerifyFailed(AssemblerError):
    """The app did not answer when it was run first, so it was not published.

    Args:
        problem: why.
    """

    status = 422
    code = "verify_failed"
    default_message = "The app did not answer when it was run first; nothing was published."
    default_hint = "Correct the problem, or send the request without verify."

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message, hint=problem.hint or None)
        self.details = problem.to_json()

    def to_json(self) -> dict[str, Any]:
        """Returns what a request's `error` field holds; `details` is the problem."""
        return {**super().to_json(), "details": self.details}


def verify(job: Job, tree: Tree) -> Job:
    """Runs the app if the request asks for it and it was not done yet.

    Args:
        job: the request.
        tree: the files that would be published.
    Returns:
        The job with the step recorded.
    Raises:
        VerifyFailed: the app did not answer.
    """
    if not job.change.verify or job.spec.sdk == "static" or _STEP in job.steps_done:
        return job
    checkpoints.check_cancelled(job)
    _run(job, tree)
    job.steps_done.append(_STEP)
    event = ("verified", "The app was run first, and answers.")
    checkpoints.write(job, {"steps_done": list(job.steps_done)}, event=event)
    return job


def _run(job: Job, tree: Tree) -> None:
    # Imported here: most requests do not ask for a trial run.
    from assembler_runner.apps.drivers import make_driver
    from assembler_runner.apps.engine import EngineError
    from assembler_runner.apps.trial import try_tree

    services = job.services
    secrets = {key: value for key, value in job.secrets().items() if value is not None}
    settings, files = services.settings, services.targets.local.app_files
    # Sandboxes end with the thread that made them, so with this one.
    try:
        driver = make_driver(settings, files, in_this_thread=True)
    except EngineError as problem:
        message = f"The app cannot be run before it is published: {problem.message}."
        raise VerifyFailed(Problem("needs_container", message, "Send the request without verify.")) from None
    try:
        result = try_tree(settings, driver, files, job.realm_id, tree, job.spec.variables, secrets)
    finally:
        driver.close()
    if result.stage == _STORED:
        raise VerifyFailed(Problem("needs_container", result.message or "", "Send the request without verify."))
    if result.stage != "RUNNING":
        raise VerifyFailed(_problem(job, tree, result, Redactor(secrets.values())))


def _problem(job: Job, tree: Tree, result: TrialResult, redactor: Redactor) -> Problem:
    known = context_of(tree, job.space_type)
    logs = {kind: [redactor.redact(line) for line in lines] for kind, lines in result.logs.items()}
    return diagnose_logs(
        logs,
        space_type=known.space_type,
        files=known.files,
        card=known.card,
        stage=result.stage,
        said=result.message,
    )
