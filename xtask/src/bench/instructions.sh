# In the guest: the kernel's own account of each of gotrace's programs, before and after so many system calls of the
# process that it looks at, and of another. The lines that begin with @ are read by instructions.rs.
calls=20000
echo 1 >/proc/sys/kernel/bpf_stats_enabled
mkfifo /tmp/target /tmp/other
loop </tmp/target >/tmp/target.said &
target=$!
loop </tmp/other >/tmp/other.said &
exec 8>/tmp/target 9>/tmp/other

# So many of a system call by one of the two; both say a line when they are done.
order() {
    before=$(wc -l </tmp/$1.said)
    if [ $1 = target ]; then echo $2 $3 >&8; else echo $2 $3 >&9; fi
    until [ $(wc -l </tmp/$1.said) -gt $before ]; do sleep 0.1; done
}

until [ -s /tmp/target.said ] && [ -s /tmp/other.said ]; do sleep 0.1; done
for options in "" "--slow 1ns"; do
    : >/tmp/said
    gotrace attach --json $options $target >/dev/null 2>/tmp/said &
    gotrace=$!
    until grep -q "Ctrl-C for the report" /tmp/said; do
        kill -0 $gotrace || { cat /tmp/said; exit 1; }
        sleep 0.1
    done
    for who in target other; do
        for call in getppid pread eagain; do
            order $who $call 100
            echo "@before $who $call $options"
            cat /proc/$gotrace/fdinfo/*
            order $who $call $calls
            echo "@after"
            cat /proc/$gotrace/fdinfo/*
        done
    done
    kill -INT $gotrace
    wait $gotrace
done
