;; Operands that wait below a block are where they were at its beginning on every way to its end or to its else, wherever
;; a way that has ended otherwise had put them.

(module
  (func $id (param i32) (result i32) (local.get 0))
  (func $nothing)
  (func $fid (param f64) (result f64) (local.get 0))
  (func (export "else after return") (param i32) (result i32)
    (i32.add
      (i32.mul (local.get 0) (i32.const 3))
      (if (result i32) (local.get 0)
        (then (call $nothing) (return (i32.const 7)))
        (else (call $id (i32.const 5))))))
  (func (export "end after return") (param i32) (result i32)
    (i32.add
      (i32.mul (local.get 0) (i32.const 3))
      (block $b (result i32)
        (drop (br_if $b (i32.const 9) (i32.gt_u (local.get 0) (i32.const 10))))
        (call $nothing)
        (return (i32.const 7)))))
  (func (export "br out of an arm") (param i32) (result i32)
    (i32.add
      (i32.mul (local.get 0) (i32.const 3))
      (block $out (result i32)
        (i32.sub
          (i32.mul (local.get 0) (i32.const 2))
          (if (result i32) (i32.eq (local.get 0) (i32.const 4))
            (then (call $nothing) (br $out (call $id (i32.const 100))))
            (else (call $nothing) (i32.const 1)))))))
  (func (export "float") (param f64) (result f64)
    (f64.add
      (f64.mul (local.get 0) (f64.const 3))
      (if (result f64) (f64.gt (local.get 0) (f64.const 10))
        (then (call $nothing) (unreachable))
        (else (call $fid (f64.const 0.5))))))
  (func (export "table") (param i32) (result i32)
    (i32.add
      (i32.mul (local.get 0) (i32.const 10))
      (block $a (result i32)
        (block $b (result i32)
          (i32.const 1)
          (block $c (br_table $c $c $c (local.get 0)))
          (call $nothing)
          (br_if $b (i32.eqz (local.get 0)))
          (br $a (i32.add (i32.const 2))))
        (i32.add (i32.const 4))))))

(assert_return (invoke "else after return" (i32.const 0)) (i32.const 5))
(assert_return (invoke "else after return" (i32.const 1)) (i32.const 7))
(assert_return (invoke "end after return" (i32.const 11)) (i32.const 42))
(assert_return (invoke "end after return" (i32.const 3)) (i32.const 7))
(assert_return (invoke "br out of an arm" (i32.const 4)) (i32.const 112))
(assert_return (invoke "br out of an arm" (i32.const 5)) (i32.const 24))
(assert_return (invoke "float" (f64.const 2)) (f64.const 6.5))
(assert_trap (invoke "float" (f64.const 20)) "unreachable")
(assert_return (invoke "table" (i32.const 0)) (i32.const 5))
(assert_return (invoke "table" (i32.const 2)) (i32.const 23))
