"""An arm that grasps what was named: world and camera, the client that picks, the judge."""
