"""WSGI entry point: `gunicorn assembler_runner.wsgi:app`."""

import sys

from assembler_runner.app import create_app
from assembler_runner.core.errors import SettingsError

try:
    app = create_app(migrates=False)
except SettingsError as problem:
    sys.exit(f"Error: {problem.message}\nHint: {problem.hint}")
