"""A throw-away SLURM cluster on one machine, for tests: no systemd, no cgroups, loopback only.

Needs nothing but the standard library, so that the system's python can run it before anything is installed.
"""
