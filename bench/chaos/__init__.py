"""The whole stack under mixed load while its parts are killed, stopped, starved and cut off."""
