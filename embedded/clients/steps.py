"""Steps with a deadline each, told on stdout: what scripts/clients reads."""

import os
import sys
import threading
import time
import uuid

DEADLINE = 30
RUN = uuid.uuid4().hex[:8]


def client(name, version):
    print(f"client {name} {version}", flush=True)


def step(name, what):
    """Runs one step in a thread, so that a client that hangs is told from one that is refused."""
    outcome = []

    def run():
        try:
            what()
            outcome.append("ok")
        except BaseException as error:
            outcome.append(f"failed: {type(error).__name__}: {error}".replace("\n", " "))

    began = time.monotonic()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    told = outcome[0] if outcome else f"failed: no end within {DEADLINE} s"
    print(f"{name} {told} {int((time.monotonic() - began) * 1000)} ms", flush=True)


def equal(found, expected):
    assert found == expected, f"{found!r} and not {expected!r}"


def eventually(look):
    """What a cluster has been told may take a moment to be known to all of its brokers."""
    while not look():
        time.sleep(0.01)


def end():
    """Without waiting for the threads of a client that hangs."""
    sys.stdout.flush()
    os._exit(0)
