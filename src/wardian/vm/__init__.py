"""Facts that compiled code and the host must agree on, each written once: layouts, builtins, traps, calling
convention."""
