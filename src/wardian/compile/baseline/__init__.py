"""The baseline tier: machine code by copying stencils and filling their holes."""
