"""An opponent: publishing as a task of a plugin, in the manner of the QHAna plugin runner.

A route stores a row for the task and sends it to Celery; the task calls the Hub, and a second one stores its result;
the caller follows the URL of the task. Flask, Flask-SQLAlchemy and Celery as there, nothing else of it.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

from celery import Celery
from flask import Flask, jsonify, request, url_for
from flask_sqlalchemy import SQLAlchemy
from huggingface_hub import HfApi
from sqlalchemy.orm import Mapped, mapped_column

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("PLUGIN_DATABASE", "sqlite://")
db = SQLAlchemy(app)
celery = Celery(__name__, broker=os.environ.get("BROKER_URL", "memory://"))
celery.conf.task_default_queue = os.environ.get("CELERY_QUEUE", "plugin")


class ProcessingTask(db.Model):  # type: ignore[name-defined,misc]  # made at run time
    """A task, its parameters and what came of it."""

    id: Mapped[int] = mapped_column(primary_key=True)
    parameters: Mapped[Any] = mapped_column(db.JSON)
    status: Mapped[str] = mapped_column(default="PENDING")
    log: Mapped[str] = mapped_column(default="")


with app.app_context():
    if "PLUGIN_DATABASE" in os.environ:
        db.create_all()


@app.get("/health/live")
def live() -> Any:
    """Answers that the process runs."""
    return jsonify({})


@app.post("/plugins/publish/process/")
def process() -> Any:
    """Stores a task and starts it."""
    row = ProcessingTask(parameters=request.get_json())
    db.session.add(row)
    db.session.commit()
    (publish.s(row.id) | save_result.s(row.id)).apply_async()
    return jsonify({"task": url_for("task", task_id=row.id)})


@app.get("/tasks/<int:task_id>/")
def task(task_id: int) -> Any:
    """Shows a task."""
    row = db.session.get_one(ProcessingTask, task_id)
    return jsonify({"status": row.status, "log": row.log})


@celery.task(name="plugin.publish")  # type: ignore[untyped-decorator]  # Celery's own
def publish(task_id: int) -> str:
    """Publishes the files of a task as a Space."""
    with app.app_context():
        parameters = db.session.get_one(ProcessingTask, task_id).parameters
    api = HfApi()
    repo = api.create_repo(
        f"bench-{uuid.uuid4().hex[:12]}", repo_type="space", space_sdk=parameters["space_type"]
    ).repo_id
    with tempfile.TemporaryDirectory() as folder:
        for path, content in parameters["files"].items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        return str(api.upload_folder(repo_id=repo, repo_type="space", folder_path=folder))


@celery.task(name="plugin.save_result")  # type: ignore[untyped-decorator]  # Celery's own
def save_result(result: str, task_id: int) -> None:
    """Stores what came of a task."""
    with app.app_context():
        row = db.session.get_one(ProcessingTask, task_id)
        row.status, row.log = "SUCCESS", result
        db.session.commit()
