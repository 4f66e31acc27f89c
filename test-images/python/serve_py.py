"""A server in Python: it says hello, and raises where it is asked to."""

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam

count = 0


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        global count
        path = request.path_with_query()
        if path == "/trap":
            raise RuntimeError("as it was asked to")
        count += 1
        response = OutgoingResponse(Fields())
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(f"{count}\n".encode() if path == "/count" else b"hello from python\n")
        OutgoingBody.finish(body, None)
