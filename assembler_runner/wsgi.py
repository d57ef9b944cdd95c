"""The module that a WSGI server loads: `gunicorn assembler_runner.wsgi:app`."""

from assembler_runner.app import create_app

app = create_app()
