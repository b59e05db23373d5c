"""The commands of `vdi-operator`. I/O."""
