"""A simulated robot camera (PyBullet) and the data sets made with it."""
