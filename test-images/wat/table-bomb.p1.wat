;; Grows a table by 65536 references at a time, to 16 million (122 MiB): ends well where that is allowed.
(module
  (table $table 1 funcref)
  (elem declare func $grow)
  (func $grow
    (loop $more
      (if (i32.eq (table.grow $table (ref.func $grow) (i32.const 65536)) (i32.const -1)) (then (unreachable)))
      (br_if $more (i32.lt_u (table.size $table) (i32.const 16000000)))))
  (func $main (export "_start") (call $grow)))
