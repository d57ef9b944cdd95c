# Server, worker, beat and migration of Assembler in one image; CONTAINER_MODE says which one a container is.
FROM python:3.12-slim AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements.lock ./
RUN python -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --require-hashes --no-deps --only-binary :all: -r requirements.lock
COPY pyproject.toml requirements.in requirements-client.in README.md LICENSE ./
COPY client client
COPY assembler_runner assembler_runner
RUN /opt/venv/bin/python -m pip install --no-build-isolation --no-deps --editable client --editable . \
    && /opt/venv/bin/python -m pip check

FROM python:3.12-slim AS service

# Plugins may be fetched from git repositories.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 assembler \
    && useradd --uid 10001 --gid assembler --create-home assembler \
    && mkdir -p /app/instance /app/plugins /app/git-plugins /app/extra-plugins \
    && chown assembler:assembler /app/instance /app/git-plugins /app/extra-plugins

WORKDIR /app
# The user of the service cannot change what it runs; what plugins require belongs into an image of one's own.
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
COPY plugins plugins
COPY migrations migrations
# Each start would compile everything anew: the user writes neither here nor there.
RUN python -m compileall -q /usr/local/lib/python3.12 assembler_runner client migrations

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLASK_APP=assembler_runner.app:create_app \
    CONTAINER_MODE=server \
    SERVER_PORT=8080 \
    PLUGIN_FOLDERS=/app/extra-plugins \
    GIT_PLUGIN_FOLDER=/app/git-plugins \
    ALIVE_FILE=/tmp/assembler-alive \
    HF_HUB_DISABLE_TELEMETRY=1

USER 10001:10001
VOLUME ["/app/instance"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-m", "assembler_runner.ops.healthcheck"]
CMD ["python", "-m", "assembler_runner.ops.container"]

# For the supervisor of apps alone: the commands that build images. It needs the socket of the engine, see docs/apps.md.
FROM service AS apps
USER 0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends docker-cli docker-buildx \
    && rm -rf /var/lib/apt/lists/*
USER 10001:10001
ENV CONTAINER_MODE=apps

FROM service
