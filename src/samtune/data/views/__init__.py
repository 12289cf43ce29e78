"""The geometry of images and label maps between disk and encoder: resizing, padding, augmentation, symmetries.

transforms.py    image or label map -> encoder input, and `Geometry`, where it lies in the square
resizing.py      images by area or bilinear, label maps by the nearest pixel
augmentation.py  `view`: the image number `index` of a seeded sequence of augmented images
symmetries.py    the eight flips and quarter turns for test-time averaging, and their inverses
orientation.py   whether the masks of a data set tell up from down, which decides about turned views
"""
