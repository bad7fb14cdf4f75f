"""What plugs into policy's ports."""
