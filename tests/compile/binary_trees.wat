;; The benchmark game's binary-trees on structures: many short-lived trees beside one that lives for long.
(module
  (type $node (struct (field $left (ref null $node)) (field $right (ref null $node))))

  (func $make (param $depth i32) (result (ref $node))
    (if (result (ref $node)) (i32.eqz (local.get $depth))
      (then (struct.new $node (ref.null $node) (ref.null $node)))
      (else
        (local.set $depth (i32.sub (local.get $depth) (i32.const 1)))
        (struct.new $node (call $make (local.get $depth)) (call $make (local.get $depth))))))

  (func $check (param $node (ref $node)) (result i32)
    (block $leaf
      (return
        (i32.add
          (i32.add
            (call $check (br_on_null $leaf (struct.get $node $left (local.get $node))))
            (call $check (ref.as_non_null (struct.get $node $right (local.get $node)))))
          (i32.const 1))))
    (i32.const 1))

  ;; The nodes counted over all trees, for trees of depth 4 to $depth in steps of 2.
  (func (export "run") (param $depth i32) (result i64)
    (local $long (ref null $node)) (local $d i32) (local $n i32) (local $sum i64)
    (local.set $long (call $make (local.get $depth)))
    (local.set $d (i32.const 4))
    (loop $depths
      (local.set $n (i32.shl (i32.const 1) (i32.add (i32.sub (local.get $depth) (local.get $d)) (i32.const 4))))
      (loop $trees
        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (call $check (call $make (local.get $d))))))
        (br_if $trees (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.set $d (i32.add (local.get $d) (i32.const 2)))
      (br_if $depths (i32.le_u (local.get $d) (local.get $depth))))
    (i64.add (local.get $sum) (i64.extend_i32_u (call $check (ref.as_non_null (local.get $long)))))))
