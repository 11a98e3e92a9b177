"""The interactive demo. ``inference`` and ``explain`` are plain functions; ``ui`` places and wires."""
