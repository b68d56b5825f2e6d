"""Episodes: samples of any number of turns, played by the user's code against the engine."""
