"""What ought to be, from what is: the operator's decisions. Pure."""
