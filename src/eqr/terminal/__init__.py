"""Output for people: progress, boards that settle, pictures."""
