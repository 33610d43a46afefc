"""Models stores that are not local folders: object storage and HTTP, through fsspec.

A bundle is uploaded file by file with its manifest last; a version without a manifest is incomplete
and is ignored. The service mirrors complete versions into a local folder, which it watches like a
local store.
"""
