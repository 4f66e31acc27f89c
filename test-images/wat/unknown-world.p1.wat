;; A module without `_start`, or anything else to call.
(module (memory (export "memory") 1))
