#!/bin/sh
# Publishes a Space of its own for one pull request, and writes the text of a comment: address, findings, differences.
#   SPACE    name of the Space that the main branch is published to
#   REVIEW   number of the pull request
#   FOLDER   folder with the app; by default the current one
#   TARGET   huggingface or local; by default that of the realm
#   DAYS     after so many days the service deletes it by itself; by default 7
#   COMMENT  file for the text; by default comment.md
# Exit codes: those of assembler: 0 the app runs, 3 an error among the findings, 4 it failed.
set -eu
: "${SPACE:?is the name of the Space}" "${REVIEW:?is the number of the pull request}"
folder=${FOLDER:-.} comment=${COMMENT:-comment.md} code=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
expires=$(python3 -c 'import datetime, sys
print((datetime.datetime.now() + datetime.timedelta(days=float(sys.argv[1]))).strftime("%Y-%m-%dT%H:%M:%S"))' "${DAYS:-7}")

if assembler show "$SPACE" >/dev/null 2>&1; then
  assembler preview "$folder" --space "$SPACE" >"$work/diff" 2>"$work/findings" || code=$?
else
  assembler preview "$folder" >"$work/diff" 2>"$work/findings" || code=$?
fi
if [ "$code" -eq 0 ]; then
  assembler deploy "$folder" --name "$SPACE-review-$REVIEW" --by-name --label review --label "review-of-$SPACE" \
    --expires-at "$expires" ${TARGET:+--target "$TARGET"} >"$work/address" 2>"$work/log" || code=$?
  cat "$work/log" >&2
fi

{
  case $code in
    0) echo "**The review Space runs:** $(tail -n 1 "$work/address")" ;;
    3) echo "**There are errors in the files; nothing was published.**" ;;
    *) echo "**The app does not run.**" && echo && echo '~~~~~~~~text' && tail -n 40 "$work/log" && echo '~~~~~~~~' ;;
  esac
  if [ -s "$work/findings" ]; then
    printf '\n<details><summary>Findings</summary>\n\n~~~~~~~~text\n'
    head -c 20000 "$work/findings"
    printf '\n~~~~~~~~\n</details>\n'
  fi
  printf '\n<details><summary>Differences from %s</summary>\n\n~~~~~~~~diff\n' "$SPACE"
  head -c 40000 "$work/diff"
  printf '\n~~~~~~~~\n</details>\n'
} >"$comment"
exit "$code"
