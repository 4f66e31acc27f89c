;; 100 000 pages (6.1 GiB) of a 64-bit memory: valid where memory64 is on.
(module
  (memory (export "memory") i64 100000)
  (func $main (export "_start")))
