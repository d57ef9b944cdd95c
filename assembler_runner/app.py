"""The application factory: assembles settings, database, space types, targets, API and pages."""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from apispec import APISpec
from flask import Flask, has_request_context, request
from flask_smorest import Blueprint as SmorestBlueprint
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from assembler_runner import api
from assembler_runner.accounts import auth
from assembler_runner.accounts.auth import account_from_cookie, account_from_header, public
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.http import access_log, i18n, middleware
from assembler_runner.api.http.openapi import DocumentedApi
from assembler_runner.api.http.routes import LazyRule
from assembler_runner.assembly.plugin_contract import json_schema
from assembler_runner.assembly.registry import Registry
from assembler_runner.assembly.reload import PluginReloader
from assembler_runner.core import sqlite, tracing
from assembler_runner.core.database import configure_engine, db, limit_idle_transactions, only_reads
from assembler_runner.core.errors import Gone, SettingsError, Unauthorized
from assembler_runner.core.places import INSTANCE, bundled
from assembler_runner.core.process_secrets import require_secrets
from assembler_runner.core.settings import Settings, attach, load
from assembler_runner.core.vault import Vault
from assembler_runner.files.database_store import DatabaseFileStore
from assembler_runner.files.folder_store import FolderFileStore
from assembler_runner.files.store import FileStore
from assembler_runner.mcp import views as mcp
from assembler_runner.publishing.celery_app import make_celery
from assembler_runner.requests import queries
from assembler_runner.services import EXTENSION, Services
from assembler_runner.spaces.event_feed import EventFeed
from assembler_runner.spaces.events import check_listeners
from assembler_runner.spaces.leases import Leases
from assembler_runner.targets.local.app_files import AppFiles
from assembler_runner.targets.local.apps_table import LocalApps
from assembler_runner.targets.local.target import LocalTarget
from assembler_runner.targets.realm_targets import LOCAL, RealmTargets
from assembler_runner.ui import assets, debug, ui
from assembler_runner.ui.local import local_pages
from assembler_runner.ui.space_form import PLUGIN_PAGES
from assembler_runner.ui.web import add_web_pages
from assembler_runner.webhooks import outbox

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

MIGRATIONS = bundled("migrations")


def create_app(settings: Settings | None = None, instance: Path | None = None, *, migrates: bool = True) -> Flask:
    """Creates the application.

    Args:
        settings: the checked settings; None: read from the environment, which must then contain the secrets.
        instance: folder for the data of this installation; None: the setting INSTANCE_FOLDER.
        migrates: whether the application is used to migrate the database; False avoids the import of Alembic.
    Returns:
        The Flask application; its :class:`Services` are `app.extensions["assembler"]`.
    Raises:
        SettingsError: a setting is missing, malformed or too weak.
    """
    settings = settings or settings_from_environment()
    folder = (instance or Path(settings.INSTANCE_FOLDER or INSTANCE)).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    app = Flask("assembler_runner", instance_path=str(folder), static_folder=None)
    app.url_rule_class = LazyRule
    app.config.update(SECRET_KEY=settings.SECRET_KEY, MAX_CONTENT_LENGTH=settings.MAX_REQUEST_BYTES)
    if settings.SERVER_NAME:
        app.config["SERVER_NAME"] = settings.SERVER_NAME
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    attach(app, settings)
    _configure_database(app, settings, folder)
    if migrates:
        enable_migrations(app)
    outbox.register()
    check_listeners()
    services = _make_services(app, settings, folder)
    app.extensions[EXTENSION] = services
    tracing.configure()
    access_log.configure(app)
    i18n.configure(app)
    auth.configure(app, settings)
    make_celery(app, settings)
    endpoints = api.register(app)
    endpoints.describe(partial(_describe_options, app.extensions[EXTENSION].registry))
    _mount_plugins(app, endpoints)
    app.register_blueprint(assets.blueprint)
    app.register_blueprint(ui)
    app.register_blueprint(mcp.blueprint)
    app.register_blueprint(local_pages(services.targets.local, _may_read))
    add_web_pages(app)
    if app.debug:
        app.register_blueprint(debug.blueprint)
    _open_pages(app)
    middleware.configure(app, settings)
    app.wsgi_app = _SingleSlashes(app.wsgi_app)  # type: ignore[method-assign]  # Flask's documented place for middleware
    return app


def settings_from_environment() -> Settings:
    """Reads the settings of a process other than `assembler serve`.

    Commands that serve no calls, and a server in debug mode, get random secrets if none are set.

    Raises:
        SettingsError: a setting is missing, malformed or too weak.
    """
    try:
        settings = load(os.environ)
        if _serves():
            require_secrets(settings)
            return settings
    except SettingsError as problem:
        if click.get_current_context(silent=True) is None:
            raise
        # The flask command prints a ClickException as a message, any other exception as a traceback.
        raise click.ClickException(f"{problem.message}\nHint: {problem.hint}") from None
    names = [name for name in ("SECRET_KEY", "JWT_SECRET_KEY") if not getattr(settings, name)]
    return load(os.environ, **{name: secrets.token_urlsafe(48) for name in names})


def check_database(uri: str) -> None:
    """Checks a database URL without connecting.

    Raises:
        SettingsError: the URL is malformed, or its driver is not installed.
    """
    try:
        create_engine(uri)
    except (ArgumentError, ModuleNotFoundError) as problem:
        reason = str(problem).splitlines()[0]
    except ValueError:
        # Its message may contain a part of the password.
        reason = "its port is not a number"
    else:
        return
    raise SettingsError(
        f"SQLALCHEMY_DATABASE_URI cannot be used: {reason}",
        hint="Write it as postgresql+psycopg://user:password@host:5432/name or mariadb+pymysql://…; "
        "in a password write @ as %40 and / as %2F.",
    )


def _serves() -> bool:
    context = click.get_current_context(silent=True)
    if context is None:
        return True
    debug = os.environ.get("FLASK_DEBUG", "").lower() in ("1", "true", "yes", "on")
    return context.info_name == "run" and not debug


def enable_migrations(app: Flask) -> None:
    """Enables migrations for the application and the commands of `flask db`."""
    # Imported here: Alembic takes 90 ms and 8 MB.
    from flask_migrate import Migrate

    Migrate(app, db, directory=str(MIGRATIONS), render_as_batch=True)


def _configure_database(app: Flask, settings: Settings, folder: Path) -> None:
    uri = settings.SQLALCHEMY_DATABASE_URI or f"sqlite:///{folder / 'assembler.db'}"
    check_database(uri)
    if not settings.SQLALCHEMY_DATABASE_URI:
        _keep_private(folder / "assembler.db")
    options: dict[str, Any] = {"pool_size": 20, "max_overflow": 60, "hide_parameters": True}
    if not uri.startswith("sqlite"):
        # PostgreSQL allows 100 connections by default. More threads share them: each needs one for milliseconds.
        options |= {"isolation_level": "READ COMMITTED", "max_overflow": 10, "pool_use_lifo": True, "pool_timeout": 5}
    if uri.startswith("sqlite"):
        options["connect_args"] = {"factory": sqlite.Connection}
    elif uri.startswith("postgresql"):
        options["connect_args"] = {"connect_timeout": 5}
    elif uri.startswith(("mysql", "mariadb")):
        options["connect_args"] = {"connect_timeout": 5, "charset": "utf8mb4"}
    app.config.update(SQLALCHEMY_DATABASE_URI=uri, SQLALCHEMY_ENGINE_OPTIONS=options)
    db.init_app(app)
    app.teardown_appcontext(_end_transaction)
    with app.app_context():
        configure_engine(db.engine, _reads_only, _lock_timeout)
        limit_idle_transactions(db.engine, settings.LEASE_SECONDS)


def _keep_private(database: Path) -> None:
    """Lets only this user read the database; SQLite gives the files beside it the same rights."""
    with suppress(OSError):
        os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o600))
        database.chmod(0o600)


def _reads_only() -> bool:
    return only_reads(default=has_request_context() and request.method in ("GET", "HEAD"))


def _end_transaction(problem: BaseException | None) -> None:
    """Ends the transaction before the session is closed, because closing fails if the connection is lost."""
    try:
        db.session.rollback()
    except SQLAlchemyError as failure:
        log.warning("a database connection was lost before its transaction ended: %s", type(failure).__name__)
        db.session().invalidate()


def _lock_timeout() -> float:
    # A caller gets a clear response within 5 seconds. A worker can wait: after a failure it would have to query the
    # target again.
    return 4.0 if has_request_context() else 30.0


def _make_services(app: Flask, settings: Settings, folder: Path) -> Services:
    load = partial(_load_plugins, settings, folder)
    registry = load()
    if app.debug:
        reloader = PluginReloader(registry, settings.plugin_folders, load)
        app.before_request(reloader.before_call)
    vault = Vault(*settings.secret_keys)
    with app.app_context():
        engine = db.engine
    app_files = AppFiles(folder / "apps")
    apps = LocalApps(lambda: engine, vault, app_files.wake_supervisor) if settings.runs_apps else None
    local = LocalTarget(folder / "spaces", apps, app_files)
    targets = RealmTargets(settings, local, vault, folder / "outgoing")
    files = _make_file_store(settings, folder, lambda: engine)
    leases = Leases(lambda: engine, settings.LEASE_SECONDS)
    feed = EventFeed(app, settings.MAX_EVENT_READERS)
    return Services(settings, folder, registry, files, targets, vault, leases, feed)


def _load_plugins(settings: Settings, folder: Path) -> Registry:
    registry = Registry()
    registry.load_folders(settings.plugin_folders)
    git_folder = Path(settings.GIT_PLUGIN_FOLDER) if settings.GIT_PLUGIN_FOLDER else folder / "git-plugins"
    registry.load_git(settings.git_plugins, git_folder, settings.git_plugin_protocols)
    registry.load_entry_points()
    return registry


def _make_file_store(settings: Settings, folder: Path, engine: Callable[[], Engine]) -> FileStore:
    if settings.DEFAULT_FILE_STORE == "database":
        return DatabaseFileStore(engine)
    if settings.DEFAULT_FILE_STORE == "local_filesystem":
        return FolderFileStore(engine, folder / "files")
    # Imported only if used.
    from assembler_runner.files.s3_store import S3FileStore

    return S3FileStore(engine, settings.DEFAULT_FILE_STORE)


def _describe_options(registry: Registry, spec: APISpec) -> None:
    """Adds the options of every type to the OpenAPI document."""
    for plugin in registry.types():
        name = "".join(part.capitalize() for part in plugin.space_type.split("-")) + "Options"
        described = json_schema(plugin.options_schema)
        described.pop("$schema")
        spec.components.schema(name, described)


def _mount_plugins(app: Flask, endpoints: DocumentedApi) -> None:
    """Adds the endpoints of plugins; a failure is noted in the plugin's record."""
    registry = app.extensions[EXTENSION].registry
    for plugin in registry.all():
        name = f"{plugin.space_type}@{plugin.version}"
        try:
            blueprint = plugin.get_blueprint()
            if blueprint is None:
                continue
            before = set(app.view_functions)
            # Flask does not allow dots in the name of a blueprint.
            where = {"url_prefix": f"/plugins/{name}", "name": f"plugin {name}".replace(".", "_")}
            if isinstance(blueprint, SmorestBlueprint):
                endpoints.register_blueprint(blueprint, **where)
            else:
                app.register_blueprint(blueprint, **where)
                pages = {"url_prefix": f"{PLUGIN_PAGES}{name}", "name": f"pages of {where['name']}"}
                app.register_blueprint(blueprint, **pages)
            for endpoint in set(app.view_functions) - before:
                view = app.view_functions[endpoint]
                if not hasattr(view, "requires"):
                    requires("plugin_read")(view)
        except Exception as problem:  # noqa: BLE001 - third-party code may raise anything; its space type still works
            registry.add_note(plugin, f"its endpoints could not be added: {type(problem).__name__}: {problem}")


def _may_read(namespace: str, name: str) -> bool:
    if queries.was_public(LOCAL, namespace, name):
        raise Gone("The Space has been deleted.")
    account = account_from_header() or account_from_cookie()
    if account is None:
        raise Unauthorized
    return "space_read" in account.permissions and queries.find_published(account, LOCAL, namespace, name) is not None


def _open_pages(app: Flask) -> None:
    """Marks views of other packages as public: API documentation, pages of local Spaces, static files."""
    for endpoint, view in app.view_functions.items():
        if endpoint.startswith(("api-docs.", "local.", "ui.")):
            public(view.__func__ if hasattr(view, "__func__") else view)


class _SingleSlashes:
    """Treats `//` in a path as `/`: published clients join their base URL that way, and follow no redirects."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["PATH_INFO"] = re.sub("/{2,}", "/", environ.get("PATH_INFO", ""))
        return self._application(environ, start_response)
