"""The commands of ``eqr``, one file each."""
