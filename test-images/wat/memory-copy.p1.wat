;; Copies 128 MiB within its memory, again and again, for ever.
(module
  (memory 2048)
  (func $copy
    (loop $more
      (memory.copy (i32.const 0) (i32.const 65536) (i32.const 134152192))
      (br $more)))
  (func $main (export "_start") (call $copy)))
