"""The engine's rules: when a row stops, which restart answers, how many restarts are enough, what a row supposes."""
