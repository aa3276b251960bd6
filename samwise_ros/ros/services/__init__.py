"""Services and the action `track_target`, for those who want an answer; a client of the lifecycle."""
