;; A component of components of components: twelve of each in the one above it are 1728 instances of a module that has
;; one page of memory and a table, from a file of a few hundred bytes.
(component
  (component $small
    (core module $cell (memory 1) (table 64 funcref))
    (core instance (instantiate $cell)) (core instance (instantiate $cell)) (core instance (instantiate $cell))
    (core instance (instantiate $cell)) (core instance (instantiate $cell)) (core instance (instantiate $cell))
    (core instance (instantiate $cell)) (core instance (instantiate $cell)) (core instance (instantiate $cell))
    (core instance (instantiate $cell)) (core instance (instantiate $cell)) (core instance (instantiate $cell)))
  (component $middle
    (alias outer 1 $small (component $small))
    (instance (instantiate $small)) (instance (instantiate $small)) (instance (instantiate $small))
    (instance (instantiate $small)) (instance (instantiate $small)) (instance (instantiate $small))
    (instance (instantiate $small)) (instance (instantiate $small)) (instance (instantiate $small))
    (instance (instantiate $small)) (instance (instantiate $small)) (instance (instantiate $small)))
  (component $large
    (alias outer 1 $middle (component $middle))
    (instance (instantiate $middle)) (instance (instantiate $middle)) (instance (instantiate $middle))
    (instance (instantiate $middle)) (instance (instantiate $middle)) (instance (instantiate $middle))
    (instance (instantiate $middle)) (instance (instantiate $middle)) (instance (instantiate $middle))
    (instance (instantiate $middle)) (instance (instantiate $middle)) (instance (instantiate $middle)))
  (instance (instantiate $large))
  (core module $guest (func $run (export "run") (result i32) (i32.const 0)))
  (core instance $guest (instantiate $guest))
  (func $run (result (result)) (canon lift (core func $guest "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
