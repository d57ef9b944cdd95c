"""A web API with FastAPI, served by uvicorn; its documentation is at /docs."""

from fastapi import FastAPI

app = FastAPI(title=PARAMS["title"])


@app.get("/")
def index():
    """Returns the greeting."""
    return {"message": PARAMS["greeting"]}


@app.get("/health")
def health():
    """Reports that the app is running."""
    return {"status": "ok"}
