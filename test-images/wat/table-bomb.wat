;; The same in a component.
(component
  (core module $guest
    (table $table 1 funcref)
    (elem declare func $grow)
    (func $grow
      (loop $more
        (if (i32.eq (table.grow $table (ref.func $grow) (i32.const 65536)) (i32.const -1)) (then (unreachable)))
        (br_if $more (i32.lt_u (table.size $table) (i32.const 16000000)))))
    (func $run (export "run") (result i32) (call $grow) (i32.const 0)))
  (core instance $guest (instantiate $guest))
  (func $run (result (result)) (canon lift (core func $guest "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
