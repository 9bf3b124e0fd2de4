"""Comments on pictures, the built-in domain: `events` (what happens), `commands` (what is asked), `decider` (the rules)."""
