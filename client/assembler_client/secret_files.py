"""Files that usually hold secrets, and environments: never published unless .assemblerignore includes them."""

from __future__ import annotations

import re
from pathlib import Path

SECRET, ENVIRONMENT = "secret", "environment"
"""Reasons for leaving a path out."""

_EXAMPLE = re.compile(r"[._-](?:example|sample|template|dist|defaults?|tmpl|tpl|schema)$")
_FOLDERS = frozenset((".ssh", ".aws", ".azure", ".gnupg", ".kube"))
_FILES = frozenset(
    (
        ".netrc",
        "_netrc",
        ".pypirc",
        ".git-credentials",
        ".pgpass",
        ".dockercfg",
        ".bash_history",
        ".zsh_history",
        ".python_history",
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
    )
)
_PATHS = (".streamlit/secrets.toml", ".docker/config.json", ".config/gcloud/application_default_credentials.json")
_CONTAINERS = (".pfx", ".p12", ".jks", ".keystore", ".ppk", ".kdbx")
_KEYS = re.compile(r"\.(?:pem|key|p8|pk8|asc)$|^id_(?:rsa|dsa|ecdsa|ed25519)")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_NPM_SETTING = re.compile(r"[\w.@/:-]+(?:\[\])?\s*=")
_NPM_LOGIN = re.compile(r"_auth|_password|_authtoken|username|email|certfile|keyfile|^key\s*=", re.IGNORECASE)
_MOST_BYTES = 64 * 1024


def secret_reason(name: str, path: Path, is_folder: bool) -> str | None:
    """Returns why a path is never published by default, or None.

    Args:
        name: path in the Space, with `/`.
        path: the file or folder.
        is_folder: whether it is a folder.
    Returns:
        `secret`, `environment`, or None.
    """
    last = name.rpartition("/")[2].lower()
    if is_folder:
        if (path / "pyvenv.cfg").is_file():
            return ENVIRONMENT
        return SECRET if last in _FOLDERS or _is_dotenv(last) else None
    return SECRET if _holds_secrets(name.lower(), last, path) else None


def _holds_secrets(name: str, last: str, path: Path) -> bool:
    if _is_dotenv(last) or last in _FILES or last.endswith(_CONTAINERS):
        return True
    if any(f"/{name}".endswith(f"/{known}") for known in _PATHS):
        return True
    if last == ".npmrc":
        return not _has_only_settings(_head(path))
    if _KEYS.search(last):
        return _PRIVATE_KEY.search(_head(path)) is not None
    if last.endswith(".json"):
        head = _head(path)
        return b'"service_account"' in head and _PRIVATE_KEY.search(head) is not None
    return False


def _is_dotenv(last: str) -> bool:
    return last == ".env" or (last.startswith(".env.") and not _EXAMPLE.search(last))


def _has_only_settings(content: bytes) -> bool:
    """Whether an .npmrc has settings and no login."""
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    settings = [line for line in lines if line and line[0] not in "#;"]
    return bool(settings) and all(_NPM_SETTING.match(line) and not _NPM_LOGIN.search(line) for line in settings)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        # What cannot be read cannot be sent either; the upload reports it.
        return b""
