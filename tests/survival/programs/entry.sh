#!/bin/sh
# An entrypoint as images have them: prepares, then runs its program. `exec` as first argument: in
# its own place.
how=$1
shift
export PREPARED="by $0"
trap 'echo "script ends"; exit 7' TERM
if [ "$how" = exec ]; then
    exec /usr/bin/python3 "$@"
fi
/usr/bin/python3 "$@" &
wait $!
