"""The network: stateless calls on tensors, nothing about cameras or ROS."""
