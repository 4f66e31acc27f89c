;; The same in a component: `wasi:cli/run.run` traps.
(component
  (core module $guest
    (func $divide (param i32 i32) (result i32)
      (i32.div_s (local.get 0) (local.get 1)))
    (func $run (export "run") (result i32)
      (call $divide (i32.const 1) (i32.const 0))))
  (core instance $guest (instantiate $guest))
  (func $run (result (result)) (canon lift (core func $guest "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
