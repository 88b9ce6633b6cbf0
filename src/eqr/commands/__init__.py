"""One file a command of ``eqr``."""
