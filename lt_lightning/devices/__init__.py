"""The hardware: which device to take and what it is good at, whether it may use TF32, and when it is done."""
