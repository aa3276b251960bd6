"""ROS 2 surface: messages in, answers out. Besides `demos`, the only part that imports rclpy.

A frame comes in through `inputs`, is answered in `node`, and leaves through `outputs`. `services`
take commands that want an answer, `health` says how the node is doing, `follow` moves a base.
"""
