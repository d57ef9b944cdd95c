#!/bin/sh
# Deletes review Spaces: that of one pull request, or all of a Space. The service deletes expired ones by itself.
#   SPACE   name of the Space that the main branch is published to
#   REVIEW  number of the pull request; empty: all of them
set -eu
: "${SPACE:?is the name of the Space}"
assembler list --filter "label=review-of-$SPACE" --limit 1000 --json | python3 -c 'import json, sys
space, review = sys.argv[1:]
for row in json.load(sys.stdin):
    if not review or row["name"] == f"{space}-review-{review}":
        print(row["id"])' "$SPACE" "${REVIEW:-}" | while read -r id; do
  assembler delete --yes "$id"
done
