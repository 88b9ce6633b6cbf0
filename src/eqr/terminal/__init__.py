"""What a terminal shows: progress, boards that settle, pictures."""
