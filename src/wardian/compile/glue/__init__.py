"""Generated glue, in LLVM text: the core image, lazy stubs, and entries and host stubs by signature."""
