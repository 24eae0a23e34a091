# Ends the servers of a host that was killed: what is left after a grace gets SIGTERM, after another one SIGKILL.
# Standard input: a pipe that ends with the host. $1: the host's record, or empty. $2: the beginning of the marks of its
# servers. $3: the seconds of each grace.
trap '' HUP INT TERM QUIT PIPE
record=$1 mark=$2 grace=$3

while read -r _; do :; done

# Succeeds if $1 is a process that started at $2 and has not ended.
same() {
    { read -r stat < "/proc/$1/stat"; } 2>/dev/null || return 1
    start=$2
    # The name, in brackets, may hold anything. What follows is field 3, the state; field 22 is the start.
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "$1" != X ] && [ "${20}" = "$start" ]
}

# Prints what kill takes: the groups of the servers, and each process that has a mark.
left() {
    [ -r "$record" ] && while read -r kind pid start _; do
        [ "$kind" = server ] && same "$pid" "$start" && echo "-$pid"
    done < "$record"
    # The marks of processes that have ended are empty.
    grep -lsF "PORTOLAN_RUN=$mark" /proc/[0-9]*/environ | while IFS=/ read -r _ _ pid _; do echo "$pid"; done
}

signal() {
    for one in $(left); do kill -s "$1" -- "$one"; done 2>/dev/null
}

wait_for_end() {
    seconds=$grace
    while [ "$seconds" -gt 0 ]; do
        [ -z "$(left)" ] && exit 0
        sleep 1
        seconds=$((seconds - 1))
    done
}

wait_for_end
signal TERM
wait_for_end
signal KILL
