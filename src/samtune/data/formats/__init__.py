"""Annotation formats: each turns files of its kind into pairs of an image and a mask.

    format.py      the protocol `Format`, the certainty of a detection, and the `Records` that reading returns
    table.py       `FORMATS`, detection by content, and `find_pairs`, the entry point
    folders.py     folders of images and folders of masks, paired by name
    naming.py      the readings of a file name: `image_3`, `x_mask_2`, `case_0000`
    pairing.py     matches images and masks by these readings
    joining.py     joins several mask files of one image: objects by union or as ids, sub-folders as classes
    manifest.py    a CSV or TSV with the columns `image,mask`
    public_set.py  a public data set as downloaded, such as `cod10k:PATH`

A format is one file and one row of `FORMATS`; see `docs/design/formats.md` for the reasons.
"""
