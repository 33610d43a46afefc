"""Support code of the tests: fakes, servers, browser pages and image files."""
