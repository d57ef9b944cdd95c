"""The Celery application. It is thin: the database is the source of truth, a message is only a wake-up."""

from __future__ import annotations

from typing import Any

from celery import Celery, Task
from flask import Flask
from kombu import Connection

from assembler_runner.core.errors import SettingsError
from assembler_runner.core.settings import Settings
from assembler_runner.publishing import memory_broker


def make_celery(flask: Flask, settings: Settings) -> Celery[Any]:
    """Creates the Celery application of a Flask application; its tasks run inside an application context.

    Args:
        flask: the Flask application.
        settings: the settings of broker, queue and concurrency.
    Raises:
        SettingsError: BROKER_URL names an unsupported broker.
    """

    class FlaskTask(Task):  # type: ignore[type-arg]  # generic only in the stubs
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with flask.app_context():
                return self.run(*args, **kwargs)

    celery: Celery[Any] = Celery(
        flask.name, task_cls=FlaskTask, broker=_broker_url(settings.BROKER_URL), backend=settings.RESULT_BACKEND or None
    )
    celery.conf.update(
        task_default_queue=settings.CELERY_QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_publish_retry=False,
        worker_prefetch_multiplier=4 if settings.BROKER_URL.startswith("memory:") else 1,
        worker_concurrency=settings.CONCURRENCY,
        # Otherwise, after a lost connection, a pool thread sets the prefetch count while the main thread reads from
        # the same connection, and both block forever.
        worker_enable_prefetch_count_reduction=False,
        worker_hijack_root_logger=False,
        # For monitors such as Flower; a broker in memory has no outside listeners.
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=2,
        broker_transport=memory_broker.TRANSPORT if settings.BROKER_URL.startswith("memory:") else None,
        broker_transport_options=_transport_options(settings.BROKER_URL),
    )
    celery.set_default()
    flask.extensions["celery"] = celery
    return celery


def _transport_options(broker: str) -> dict[str, Any]:
    if broker.startswith("memory:"):
        return {}
    if broker.startswith(("redis:", "rediss:")):
        return {
            # Redis then keeps no copy of a message until it is acknowledged: two transactions on Redis for each
            # message, only to send a lost wake-up again later than the sweeper does.
            "ack_emulation": False,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "health_check_interval": 25,
        }
    return {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5, "confirm_timeout": 5}


def _broker_url(broker: str) -> str:
    if broker.startswith("memory:"):
        # kombu warns about every connection to a broker without a host name.
        return "memory://localhost/"
    try:
        # Without a scheme kombu would use the default broker.
        Connection(broker, transport=broker.partition("://")[0] or "none").get_transport_cls()
    except (KeyError, ImportError, ValueError):
        raise SettingsError(
            "BROKER_URL names an unsupported broker.", hint="Use a URL with memory://, redis:// or amqp://."
        ) from None
    return broker
