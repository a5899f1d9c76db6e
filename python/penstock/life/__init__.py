"""A worker's life: its start, its signals, its connections, its end. Knows no engine and no route."""
