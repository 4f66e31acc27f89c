;; Valid, and nothing that a runtime could run: its one export is an interface of nobody's.
(component
  (core module $guest (func $poke (export "poke")))
  (core instance $guest (instantiate $guest))
  (func $poke (canon lift (core func $guest "poke")))
  (instance $exports (export "poke" (func $poke)))
  (export "example:unknown/world" (instance $exports)))
