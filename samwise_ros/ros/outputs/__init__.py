"""What goes out: an answer becomes masks, boxes, labels, poses, clouds and pictures for people."""
