"""`sleep-py [SECONDS]` (3600 by default): prints a line, sleeps, prints another."""

import time

from wit_world import exports
from wit_world.imports import environment


class Run(exports.Run):
    def run(self) -> None:
        arguments = environment.get_arguments()
        seconds = float(arguments[1]) if len(arguments) > 1 else 3600.0
        print("sleeping", flush=True)
        time.sleep(seconds)
        print("woke", flush=True)
