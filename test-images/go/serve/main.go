// The component: its exports are in the bindings, which call the package export_wasi_http_incoming_handler.
package main

import _ "run-wasm.example/serve/bindings/wit_exports"

// A component that is called needs no main; Go does.
func main() {}
