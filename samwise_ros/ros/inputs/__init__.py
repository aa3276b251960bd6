"""What comes in: images, depth, camera_info, text commands and transforms."""
