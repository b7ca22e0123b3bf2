"""Ways of running independent tasks: side by side in processes; the serial one is in `stagedml.realize`."""

from stagedml.executors.processes import Processes

__all__ = ["Processes"]
