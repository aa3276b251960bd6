"""ROS 2 surface: the only part of the package that imports rclpy or messages.

Modules without rclpy and messages: `image_codec`, `mailbox`, `worker`, `monitor`, `parameters`,
`engine`, `demo`.
"""
