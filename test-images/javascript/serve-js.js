// A server in JavaScript: it says hello, and throws where it is asked to.

import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from "wasi:http/types@0.2.0";

let count = 0;

export const incomingHandler = {
  handle(request, out) {
    const path = request.pathWithQuery();
    if (path === "/trap") throw new Error("as it was asked to");
    count += 1;
    const response = new OutgoingResponse(new Fields());
    const body = response.body();
    ResponseOutparam.set(out, { tag: "ok", val: response });
    const stream = body.write();
    stream.blockingWriteAndFlush(new TextEncoder().encode(path === "/count" ? `${count}\n` : "hello from javascript\n"));
    stream[Symbol.dispose]();
    OutgoingBody.finish(body, undefined);
  },
};
