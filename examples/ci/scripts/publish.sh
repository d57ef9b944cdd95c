#!/bin/sh
# Publishes a folder, and waits until the app runs.
#   SPACE   name of the Space
#   FOLDER  folder with the app; by default the current one
#   TARGET  huggingface or local; by default that of the realm
set -eu
: "${SPACE:?is the name of the Space}"
assembler deploy "${FOLDER:-.}" --name "$SPACE" --by-name --label "pipeline" ${TARGET:+--target "$TARGET"}
