"""Selection of the device that runs networks, and what the CUDA driver says about it.

The driver's own library is used through ctypes, so that neither ONNX Runtime nor torch must be
loaded to see whether a device is visible. It respects CUDA_VISIBLE_DEVICES.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from service.errors import DeviceError

Device: TypeAlias = Literal["cpu", "cuda"]
DeviceChoice: TypeAlias = Literal["auto", "cpu", "cuda"]
"""`auto` is `cuda` if the backend supports it and a device is visible, or else `cpu`."""

CPU_IMAGES = 256
"""Images in one run on the CPU; larger batches gain nothing and only need more memory."""
_MAX_IMAGES = 4096
_MEMORY_PART = 8
"""A run may take this part of the device's memory: several models and workers share it."""
_ACTIVATIONS = 32
"""Bytes of activations for each byte of the input and the outputs; generous for image networks."""


def choose_device(choice: DeviceChoice, problem: Callable[[], str]) -> Device:
    """Return the device for a choice.

    Args:
        choice: The setting.
        problem: Returns why the backend cannot use CUDA, or an empty text.

    Raises:
        DeviceError: `cuda` is chosen and cannot be used.
    """
    if choice == "cpu":
        return "cpu"
    reason = problem() or find_driver_problem()
    if not reason:
        return "cuda"
    if choice == "auto":
        return "cpu"
    raise DeviceError(f"device 'cuda' (LATENTD_DEVICE, LATENTD_MODEL_DEVICES): {reason}")


def find_driver_problem() -> str:
    """Return why no CUDA device is visible, or an empty text."""
    driver = open_driver()
    if driver is None:
        return "no NVIDIA driver is installed; choose 'cpu' or 'auto'"
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return f"no CUDA device is visible (CUDA_VISIBLE_DEVICES is {visible!r:.80})"
    return ""


def read_device_memory() -> int:
    """Return the total bytes of the first visible CUDA device; 0 if there is none."""
    driver, device, size = open_driver(), ctypes.c_int(0), ctypes.c_size_t(0)
    if (
        driver is None
        or driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    ):
        return 0
    return size.value


def limit_images(device: Device, values: int) -> int:
    """Return the number of images in one run of a network.

    Args:
        device: The device.
        values: Numbers per image in the input and the outputs.
    """
    if device == "cpu":
        return CPU_IMAGES
    image_bytes = 4 * values * _ACTIVATIONS
    return max(1, min(_MAX_IMAGES, read_device_memory() // _MEMORY_PART // image_bytes))


def open_driver() -> Any:  # noqa: ANN401 - a library of C functions
    """Return the CUDA driver's library, or None."""
    try:
        return ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return None
