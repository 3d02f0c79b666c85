#!/usr/bin/env bash
# progress.sh WHAT COMMAND...: runs the command, says what is being done, and says every 30 s that it still is.
set -uo pipefail
what=$1
shift

elapsed() { printf '%dm%02ds' $((SECONDS / 60)) $((SECONDS % 60)); }

echo "== $what"
(
  next=30
  while sleep 1 </dev/null >/dev/null 2>&1; do
    if ((SECONDS >= next)); then
      echo "   $what: $(elapsed)"
      next=$((next + 30))
    fi
  done
) &
ticker=$!
trap 'kill $ticker 2>/dev/null' EXIT
"$@"
status=$?
((status == 0)) || echo "== failed after $(elapsed): $what" >&2
exit "$status"
