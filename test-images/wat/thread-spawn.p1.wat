;; Imports the call by which wasi-threads makes threads.
(module
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (memory (export "memory") 1)
  (func $main (export "_start") (drop (call $spawn (i32.const 0)))))
