"""Publication of a staged bundle in a remote models store."""

from service.artifact.remote.objects import ObjectStore
from service.artifact.store import MANIFEST_FILE, Bundle


def upload(staged: Bundle, url: str) -> int:
    """Upload a verified bundle as the next free version of its name, and return the version.

    The manifest is uploaded last. A writer that ends before leaves a version that no reader sees.

    Raises:
        ArtifactError: the store cannot be read or written.
        MissingExtraError: the library of the URL's protocol is not installed.
    """
    store = ObjectStore(url)
    taken = [version for name, version in store.list_versions() if name == staged.name]
    version = max(taken, default=0) + 1
    while not store.claim(staged.name, version):
        version += 1
    for file in (*staged.manifest.files, MANIFEST_FILE):
        store.upload(staged.folder, staged.name, version, file)
    return version
