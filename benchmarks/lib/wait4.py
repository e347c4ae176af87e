"""Runs a command to its end and prints what the kernel accounts to it and to the children it waited for, as JSON on the last line of stderr."""
import json, os, sys, time

started = time.perf_counter()
child = os.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(child, 0)
wall = time.perf_counter() - started
print(json.dumps({
    "exit": os.waitstatus_to_exitcode(status),
    "wallSeconds": wall,
    "cpuSeconds": used.ru_utime + used.ru_stime,
    "peakRssMb": used.ru_maxrss / 1024,
}), file=sys.stderr)
