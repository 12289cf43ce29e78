"""Image files of any kind as arrays.

    listing.py     image files below a folder
    opening.py     the format of a file by its first bytes; every failure of a decoder as one `DataError`
    limits.py      the largest file and image that is decoded
    decoding.py    PNG, JPEG, BMP, WebP, GIF and PNM as stored; the decoder for all files, also masks
    tiff.py        TIFF as stored
    raw.py         the records `Raw`, `Header` and `Samples` of a decoded file; EXIF orientation
    intensity.py   more than 8 bit, signed and floating point to bytes; missing samples
    reading.py     `read_image`: any file as uint8 RGB, and what was changed on the way
    arrays.py      arrays and PIL images from Python as uint8 RGB, by the same rules
    duplicates.py  images that are equal or nearly equal

`samtune.data` exports `read_image`, `content_id` and `list_images`.
"""
