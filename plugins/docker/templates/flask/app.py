"""A web app with Flask, served by gunicorn."""

from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
def index():
    """Greets."""
    return f"<h1>{PARAMS['greeting']}</h1>"


@app.get("/health")
def health():
    """Tells that the app lives."""
    return jsonify(status="ok")
