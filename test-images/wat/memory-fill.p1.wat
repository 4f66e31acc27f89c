;; Fills its 128 MiB of memory, again and again, for ever.
(module
  (memory 2048)
  (func $fill
    (loop $more
      (memory.fill (i32.const 0) (i32.const 46) (i32.const 134217728))
      (br $more)))
  (func $main (export "_start") (call $fill)))
