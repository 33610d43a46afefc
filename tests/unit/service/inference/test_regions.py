"""Regions of an anomaly map."""

import numpy as np

from service.inference.regions import MAX_REGIONS, Region, find_regions


def test_connected_places_are_one_box() -> None:
    """Places that touch, also over a corner, are one region; the strongest region is first."""
    places = np.zeros((10, 12), np.float32)
    places[2:4, 3:8] = 2
    places[4, 8] = 3
    places[8, 0] = 5

    regions = find_regions(places, 1)

    assert regions == [Region(0, 8, 1, 1, 5.0), Region(3, 2, 6, 3, 3.0)]


def test_nothing_over_the_threshold_is_no_region() -> None:
    """A place at the threshold is not over it."""
    assert find_regions(np.ones((4, 4), np.float32), 1) == []


def test_only_the_strongest_regions_are_returned() -> None:
    """Scattered places do not make a response long."""
    places = np.zeros((20, 20), np.float32)
    places[::2, ::2] = np.arange(1, 101).reshape(10, 10)

    regions = find_regions(places, 0.5)

    assert [region.score for region in regions] == [100, 99, 98, 97, 96]
    assert len(regions) == MAX_REGIONS


def test_large_maps_have_boxes_inside_the_image() -> None:
    """A map over 128 places a side is searched in blocks; its boxes stay inside it."""
    places = np.zeros((301, 200), np.float32)
    places[299:, 197:] = 2
    places[0, 0] = 3

    first, second = find_regions(places, 1)

    assert (first.left, first.top) == (0, 0)
    assert max(first.width, first.height) <= 3
    assert (second.left + second.width, second.top + second.height) == (200, 301)
    assert second.left >= 194
