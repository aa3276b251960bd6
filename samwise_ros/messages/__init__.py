"""Between ROS messages and arrays, without ROS: for the node and for recordings alike.

What is read needs only the fields that a message has, whichever library made it; what is written is
made by a function that knows the classes (`MakeMessage`).
"""
