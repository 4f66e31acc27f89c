;; An async command of WASI 0.3 that imports what no host has.
(component
  (import "example:unknown/thing" (instance $thing (export "do-it" (func async))))
  (core func $do-it (canon lower (func $thing "do-it")))
  (core func $return (canon task.return (result (result))))
  (core module $guest
    (import "thing" "do-it" (func $do-it))
    (import "host" "return" (func $return (param i32)))
    (func (export "callback") (param i32 i32 i32) (result i32) unreachable)
    (func (export "run") (result i32) (call $do-it) (call $return (i32.const 0)) (i32.const 0)))
  (core instance $guest (instantiate $guest
    (with "thing" (instance (export "do-it" (func $do-it))))
    (with "host" (instance (export "return" (func $return))))))
  (func $run async (result (result))
    (canon lift (core func $guest "run") async (callback (core func $guest "callback"))))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.3.0" (instance $command)))
