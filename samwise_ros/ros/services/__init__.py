"""Services and the action `track_target`, for who wants an answer; a client of the lifecycle."""
