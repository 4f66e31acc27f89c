;; Never ends, and that already in the start function: instantiation does not return.
(module
  (memory (export "memory") 1)
  (func $forever (loop $again (br $again)))
  (start $forever)
  (func $main (export "_start")))
