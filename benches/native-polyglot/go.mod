module run-wasm.example/native-polyglot

go 1.25
