;; The same as a component: valid, of the command world, and `example:unknown/thing` is what it lacks.
(component
  (import "example:unknown/thing" (instance $thing (export "do-it" (func))))
  (core func $do_it (canon lower (func $thing "do-it")))
  (core module $guest
    (import "thing" "do-it" (func $do_it))
    (func $run (export "run") (result i32) (call $do_it) (i32.const 0)))
  (core instance $guest (instantiate $guest (with "thing" (instance (export "do-it" (func $do_it))))))
  (func $run (result (result)) (canon lift (core func $guest "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
