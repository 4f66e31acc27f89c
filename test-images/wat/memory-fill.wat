;; The same in a component.
(component
  (core module $guest
    (memory 2048)
    (func $fill
      (loop $more
        (memory.fill (i32.const 0) (i32.const 46) (i32.const 134217728))
        (br $more)))
    (func $run (export "run") (result i32) (call $fill) (i32.const 0)))
  (core instance $guest (instantiate $guest))
  (func $run (result (result)) (canon lift (core func $guest "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
