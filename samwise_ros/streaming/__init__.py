"""What is remembered from frame to frame: sessions, targets, clip windows."""
