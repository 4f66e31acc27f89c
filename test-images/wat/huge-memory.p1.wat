;; Declares all that a 32-bit memory can have, 65536 pages (4 GiB), from the start: valid, and above any sensible limit.
(module
  (memory (export "memory") 65536)
  (func $main (export "_start")))
