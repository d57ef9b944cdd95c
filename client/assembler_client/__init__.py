"""Client of Assembler, a self-hosted factory for Spaces.

from assembler_client import Assembler

with Assembler("http://127.0.0.1:5005", ("admin", "…")) as assembler:
    print(assembler.deploy("my-app", name="my-app").url)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from assembler_client.version import __version__

if TYPE_CHECKING:
    from assembler_client import auth, models, types
    from assembler_client.assembler import Assembler, AsyncAssembler
    from assembler_client.auth import ClientAuth, ExchangeAuth, PasswordAuth, RobotAuth, StaticAuth
    from assembler_client.auth_client import AsyncAuthClient, AuthClient
    from assembler_client.core_client import AsyncCoreClient, CoreClient
    from assembler_client.errors import (
        AppFailed,
        AuthError,
        Conflict,
        Forbidden,
        HubAPIError,
        InvalidAnswer,
        InvalidRequest,
        NotFound,
        RateLimited,
        RequestFailed,
        ServerError,
        TooLarge,
        TransportError,
        Unavailable,
        WaitTimeout,
    )
    from assembler_client.publishing import publish
    from assembler_client.storage_client import AsyncStorageClient, StorageClient
    from assembler_client.types import FilterOperator, begins_with, between, contains

__all__ = [
    "AppFailed",
    "Assembler",
    "AsyncAssembler",
    "AsyncAuthClient",
    "AsyncCoreClient",
    "AsyncStorageClient",
    "AuthClient",
    "AuthError",
    "ClientAuth",
    "Conflict",
    "CoreClient",
    "ExchangeAuth",
    "FilterOperator",
    "Forbidden",
    "HubAPIError",
    "InvalidAnswer",
    "InvalidRequest",
    "NotFound",
    "PasswordAuth",
    "RateLimited",
    "RequestFailed",
    "RobotAuth",
    "ServerError",
    "StaticAuth",
    "StorageClient",
    "TooLarge",
    "TransportError",
    "Unavailable",
    "WaitTimeout",
    "__version__",
    "auth",
    "begins_with",
    "between",
    "contains",
    "load_ipython_extension",
    "models",
    "publish",
    "types",
]

# Imported on first use, so that the command line starts fast.
_WHERE = {
    "Assembler": "assembler",
    "AsyncAssembler": "assembler",
    "AsyncAuthClient": "auth_client",
    "AsyncCoreClient": "core_client",
    "AsyncStorageClient": "storage_client",
    "AuthClient": "auth_client",
    "ClientAuth": "auth",
    "ExchangeAuth": "auth",
    "CoreClient": "core_client",
    "FilterOperator": "types",
    "PasswordAuth": "auth",
    "RobotAuth": "auth",
    "StaticAuth": "auth",
    "StorageClient": "storage_client",
    "begins_with": "types",
    "publish": "publishing",
    "between": "types",
    "contains": "types",
}


def load_ipython_extension(ipython: Any) -> None:
    """Adds the magic `%%assembler` to a notebook; called by `%load_ext assembler_client`."""
    from assembler_client.magic import load

    load(ipython)


_MODULES = ("auth", "models", "types")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"assembler_client.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"assembler_client.{_WHERE.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
