"""`python -m loadtest.growth`."""

from loadtest.growth.command import main

raise SystemExit(main())
