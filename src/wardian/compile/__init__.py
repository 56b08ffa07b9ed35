"""From validated bodies to machine code: lowering, LLVM, generated glue, artifacts and their cache."""
