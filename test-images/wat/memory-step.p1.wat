;; Grows its memory by a page at a time, for ever, and prints a dot for each page that it got.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\01\00\00\00.")
  (func $main (export "_start")
    (loop $more
      (if (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0))
        (then
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
          (br $more))))))
