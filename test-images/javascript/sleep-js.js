// `sleep-js [SECONDS]` (3600 by default): prints a line, sleeps by the monotonic clock, prints another.

import { getArguments } from "wasi:cli/environment@0.2.0";
import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.0";

export const run = {
  run() {
    const seconds = Number(getArguments()[1] ?? 3600);
    console.log("sleeping");
    subscribeDuration(BigInt(Math.round(seconds * 1e9))).block();
    console.log("woke");
  },
};
