;; What follows an instruction is not always where it usually is: an access that names its memory (0), with an offset
;; that looks like local.set, and an opcode written with more bytes than it needs.
(module binary
  "\00\61\73\6d\01\00\00\00\01\06\01\60\01\7f\01\7f\03\03\02\00\00\05\03\01\00\01\07\09\02\01\66\00"
  "\00\01\67\00\01\0a\22\02\0d\01\46\7f\20\00\28\42\00\21\41\05\6a\0b\12\01\46\7f\43\00\00\28\42\fc"
  "\80\80\80\80\00\41\21\6a\0b\0b\0a\01\00\41\21\0b\04\01\02\03\04")
(assert_return (invoke "f" (i32.const 0)) (i32.const 67305990))
(assert_return (invoke "g" (i32.const 0)) (i32.const 75))
