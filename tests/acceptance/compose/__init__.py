"""docker-compose.yml for real: built, up, used, stopped. Only when asked: HEADRACE_COMPOSE=1, with a Docker engine in reach."""
