;; 100 000 pages of a 32-bit memory: more than its 65536, so the module is well-formed but invalid.
(module
  (memory (export "memory") 100000)
  (func $main (export "_start")))
