// Package export_wasi_http_incoming_handler is a server: it says hello, and panics where it is asked to. The bindings gave
// it its name.
package export_wasi_http_incoming_handler

import (
	"fmt"

	"go.bytecodealliance.org/pkg/wit/types"

	"run-wasm.example/serve/bindings/collector"
	"run-wasm.example/serve/bindings/wasi_http_types"
)

var count = 0

func Handle(request *wasi_http_types.IncomingRequest, out *wasi_http_types.ResponseOutparam) {
	collector.Run()
	text := "hello from go\n"
	switch request.PathWithQuery().SomeOr("") {
	case "/trap":
		panic("as it was asked to")
	case "/count":
		count++
		text = fmt.Sprintln(count)
	default:
		count++
	}
	response := wasi_http_types.MakeOutgoingResponse(wasi_http_types.MakeFields())
	body := response.Body().Ok()
	wasi_http_types.ResponseOutparamSet(out, wit_types.Ok[*wasi_http_types.OutgoingResponse, wasi_http_types.ErrorCode](response))
	stream := body.Write().Ok()
	stream.BlockingWriteAndFlush([]byte(text))
	stream.Drop()
	wasi_http_types.OutgoingBodyFinish(body, wit_types.None[*wasi_http_types.Fields]())
}
