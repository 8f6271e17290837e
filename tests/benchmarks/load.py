"""The load that `serving.py` puts on a server, by locust: each client sends a body, waits for the answer, and so on."""

import json
import os
from itertools import cycle
from pathlib import Path

from locust import FastHttpUser, events, task

BODIES = cycle(json.loads(Path(os.environ["LOAD_BODIES"]).read_text()))
answered: list[
    tuple[float, float, bool]
] = []  # when it was sent (s), how long the answer took (ms), and if it was good


class Client(FastHttpUser):
    @task
    def read(self) -> None:
        self.client.post("/invocations", data=next(BODIES), headers={"Content-Type": "application/json"})


@events.request.add_listener
def note(start_time: float, response_time: float, exception: Exception | None, **_) -> None:
    answered.append((start_time, response_time, exception is None))


@events.quit.add_listener
def write(**_) -> None:
    Path(os.environ["LOAD_ANSWERED"]).write_text(json.dumps(answered))
