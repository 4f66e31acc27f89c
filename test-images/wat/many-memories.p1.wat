;; Thirty memories of 2.5 MiB beside its own: none is large, all together are 75 MiB.
(module
  (memory (export "memory") 1)
  (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40)
  (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40)
  (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40) (memory 40)
  (func $main (export "_start")))
