# Entries of a lock that a list names: awk -f select-wheels.awk wheels.txt requirements.lock
# Of one name there may be several, by markers: pip chooses.
FNR == NR {
    sub(/#.*/, "")
    if (NF) wanted[$1] = 1
    next
}
/^[A-Za-z0-9]/ {
    split($1, part, "==")
    take = part[1] in wanted
    if (take) found[part[1]] = 1
}
take
END {
    for (name in wanted) if (!(name in found)) { print "not in the lock: " name > "/dev/stderr"; missing = 1 }
    exit missing
}
