"""What this machine is: probes, each a tiny read and a pure parse."""
