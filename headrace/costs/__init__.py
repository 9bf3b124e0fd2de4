"""What the roles' AWS calls cost. Read `usage` (what was counted), then `billing` (what it comes to), then `command`."""
