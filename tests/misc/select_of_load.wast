;; A load that is an operand of select traps whichever way the select goes. (LLVM turns a conditional move with a memory
;; operand into a branch around the access, volatile or not, unless it is told otherwise.)

(module
  (memory 1 1)
  (func (export "first") (param i32 i32 i64 i64) (result i32)
    (select (i32.load (local.get 0)) (local.get 1) (i64.le_s (local.get 2) (local.get 3))))
  (func (export "second") (param i32 i64 i64 i64) (result i64)
    (select (local.get 1) (i64.load (local.get 0)) (i64.le_s (local.get 2) (local.get 3))))
  (func (export "float") (param i32 f64 i64 i64) (result f64)
    (select (f64.load (local.get 0)) (local.get 1) (i64.le_s (local.get 2) (local.get 3))))
  (func (export "both") (param i32 i32 i32) (result i32)
    (select (i32.load (local.get 0)) (i32.load (local.get 1)) (local.get 2))))

(assert_return (invoke "first" (i32.const 0) (i32.const 7) (i64.const 3) (i64.const 1)) (i32.const 7))
(assert_trap (invoke "first" (i32.const 0x40000000) (i32.const 7) (i64.const 3) (i64.const 1)) "out of bounds memory access")
(assert_trap (invoke "first" (i32.const 0x40000000) (i32.const 7) (i64.const 1) (i64.const 3)) "out of bounds memory access")
(assert_trap (invoke "second" (i32.const 65529) (i64.const 7) (i64.const 3) (i64.const 1)) "out of bounds memory access")
(assert_trap (invoke "second" (i32.const 65536) (i64.const 7) (i64.const 1) (i64.const 3)) "out of bounds memory access")
(assert_trap (invoke "float" (i32.const -1) (f64.const 7) (i64.const 3) (i64.const 1)) "out of bounds memory access")
(assert_trap (invoke "both" (i32.const 0) (i32.const 65536) (i32.const 1)) "out of bounds memory access")
(assert_trap (invoke "both" (i32.const 65536) (i32.const 0) (i32.const 0)) "out of bounds memory access")
(assert_return (invoke "both" (i32.const 0) (i32.const 4) (i32.const 1)) (i32.const 0))
