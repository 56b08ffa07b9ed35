"""The embedding interface: joins the compiler and the runtime, which do not know each other."""
