"""What every process stands on and what knows no domain: settings, AWS clients, logs, metrics, health, lifecycle.

Read `settings` first (what a process may be told), then `lifecycle` (how it starts and how it ends).
"""
