"""The sandbox: what a program may reach, how that is said to the kernel, and which level the probes have proved."""
