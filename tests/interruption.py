"""Ctrl-C in a process of its own, as a user presses it: in the middle of a long call."""

import subprocess
import sys

PROGRAM = """
import signal, threading, time
{setting}
sent = []

def interrupt():
    sent.append(time.perf_counter())
    signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)    # shells have it ignored in the background
threading.Timer({after}, interrupt).start()
try:
    {call}
except KeyboardInterrupt:
    print(time.perf_counter() - sent[0] if sent else "before it was sent")
else:
    print("it ended by itself")
"""


def seconds_to_end(setting, call, after=2.0):
    """Seconds from a Ctrl-C, `after` seconds after the call began, until it raised KeyboardInterrupt."""
    program = PROGRAM.format(setting=setting, call=call, after=after)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    return float(run.stdout)
