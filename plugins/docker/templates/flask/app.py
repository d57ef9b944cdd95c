"""A web app with Flask, served by gunicorn."""

from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
def index():
    """Returns the greeting."""
    return f"<h1>{PARAMS['greeting']}</h1>"


@app.get("/health")
def health():
    """Reports that the app is running."""
    return jsonify(status="ok")
