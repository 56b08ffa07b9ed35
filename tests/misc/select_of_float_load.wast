;; As select_of_load.wast, for floats and vectors: machines with masked loads must not use one for a load that is then
;; selected away.

(module
  (memory 1 1)
  (func (export "f64") (param i32 f64 i32) (result f64) (select (f64.load (local.get 0)) (local.get 1) (local.get 2)))
  (func (export "f32") (param i32 f32 i32) (result f32) (select (local.get 1) (f32.load (local.get 0)) (local.get 2)))
  (func (export "f64 compare") (param i32 f64 f64) (result f64)
    (select (local.get 1) (f64.load offset=65535 (local.get 0)) (f64.lt (local.get 1) (local.get 2))))
  (func (export "v128") (param i32 i32) (result i32)
    (i32x4.extract_lane 0 (select (v128.load (local.get 0)) (v128.const i32x4 7 0 0 0) (local.get 1))))
  (func (export "phi") (param i32 f64 i32) (result f64) (local f64)
    (local.set 3 (f64.load (local.get 0)))
    (if (local.get 2) (then (local.set 3 (local.get 1))))
    (local.get 3)))

(assert_return (invoke "f64" (i32.const 0) (f64.const 7) (i32.const 0)) (f64.const 7))
(assert_trap (invoke "f64" (i32.const 65536) (f64.const 7) (i32.const 0)) "out of bounds memory access")
(assert_trap (invoke "f64" (i32.const 65536) (f64.const 7) (i32.const 1)) "out of bounds memory access")
(assert_trap (invoke "f32" (i32.const 65536) (f32.const 7) (i32.const 1)) "out of bounds memory access")
(assert_trap (invoke "f64 compare" (i32.const 0) (f64.const 1) (f64.const 2)) "out of bounds memory access")
(assert_trap (invoke "f64 compare" (i32.const 0) (f64.const 2) (f64.const 1)) "out of bounds memory access")
(assert_trap (invoke "v128" (i32.const 65536) (i32.const 0)) "out of bounds memory access")
(assert_return (invoke "v128" (i32.const 0) (i32.const 0)) (i32.const 7))
(assert_trap (invoke "phi" (i32.const 65536) (f64.const 7) (i32.const 1)) "out of bounds memory access")
