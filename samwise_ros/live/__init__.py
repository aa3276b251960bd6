"""A page to look at and to command from. It knows neither ROS nor the model."""
