# Sourced: sets PYTHON to the first interpreter that is new enough (3.10), or ends with the way out.
PYTHON=
for candidate in "${AGENTLAUNCH_PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10 python; do
  [ -n "$candidate" ] || continue
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    PYTHON=$candidate
    break
  fi
done
if [ -z "$PYTHON" ]; then
  echo "error: Python 3.10 or newer is needed (https://www.python.org/downloads/)" >&2
  exit 1
fi
