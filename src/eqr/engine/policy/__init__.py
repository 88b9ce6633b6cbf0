"""The rules of the engine: when a row stops, which restart answers, how many are enough, what a row supposes."""
