;; A command that needs a function nobody provides.
(module
  (import "example:unknown/thing" "do-it" (func $do_it))
  (memory (export "memory") 1)
  (func $main (export "_start") (call $do_it)))
