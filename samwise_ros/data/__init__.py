"""Data sets of referring segmentation: readers, converters, clip sampling, transforms.

Readers give the same records for every set (`records.py`), so that training and evaluation do not
know which one they read. Nothing here is imported by the model or the streaming code.
"""
