"""How the C library of Linux gives memory back, which takes longer than many a layer that asks for it."""

import ctypes
import logging
import os
import platform

log = logging.getLogger(__name__)

# Numbers of mallopt's parameters in glibc's malloc.h, and their values.
SETTINGS = {
    -4: 0,  # M_MMAP_MAX: no block gets pages of its own, which would be returned with it and come back zeroed
    -1: 512 * 2**20,  # M_TRIM_THRESHOLD: bytes free at the end of the heap from which they are returned
    -2: 64 * 2**20,  # M_TOP_PAD: bytes by which the heap grows beyond what is asked for
    -8: 1,  # M_ARENA_MAX: threads share one heap, for one of their own would be returned whenever it is empty
}


def keep_memory() -> None:
    """Lets this process keep memory that networks give back, for the next layer; once it is done, again does nothing.

    A layer's result takes megabytes. Blocks of that size glibc takes from the system, and returns at once, page by
    page. Other C libraries do otherwise and are left alone, and so is glibc where a variable MALLOC_... or
    GLIBC_TUNABLES is set: then the user has decided.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    mallopt = ctypes.CDLL(None).mallopt
    refused = [number for number, value in SETTINGS.items() if not mallopt(number, value)]
    if refused:
        log.info("the C library does not know the settings %s of its memory", refused)
