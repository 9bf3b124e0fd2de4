"""`headrace dlq`: what could not be handled, opened, and sent where it belongs once it can be.

Read `opening` (what a message holds; pure), then `redriving`, then `command`.
"""
