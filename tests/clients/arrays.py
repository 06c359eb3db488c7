"""h5py, numpy and tifffile, with the maps and the patching in place that they use."""

import os

import numpy as np

from place import check, finish, worker

SHAPE = (20, 256, 256)


def _pattern(seed, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 4096, shape, dtype=np.uint16)


@check
def h5py_writes_patches_and_reads_datasets(place):
    import h5py

    folder = place.fresh("h5py")
    path, planes = folder / "stack.h5", _pattern(1)
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", data=planes)
        file.create_dataset("packed", data=planes, chunks=(1, 256, 256), compression="gzip", shuffle=True)
        place.disturb(path, still_open=True)
        assert finish(worker("open_h5", path)) == "refused\n", "a second process could open it for writing"
    place.disturb(path)
    with h5py.File(path, "r+") as file:
        file["packed"][7] = planes[7] + 1
        file["packed"].attrs["well"] = "B03"
        file.create_dataset("late", data=planes[:2])
    place.disturb(path)
    planes_patched = planes.copy()
    planes_patched[7] += 1
    with h5py.File(path, "r") as file:
        assert (file["raw"][:] == planes).all() and (file["packed"][:] == planes_patched).all()
        assert file["packed"].attrs["well"] == "B03" and (file["late"][:] == planes[:2]).all()
    assert finish(worker("open_h5", path)) == "opened\n"


def _memmap(place, scratch):
    folder = place.fresh("memmap", scratch)
    path, planes = folder / "stack.npy", _pattern(2)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=planes.dtype, shape=planes.shape)
    place.expect(path)
    array[:10] = planes[:10]
    place.disturb(path, still_open=True)
    array[10:] = planes[10:]
    array.flush()
    offset = os.path.getsize(path) - planes.nbytes
    seen = finish(worker("read_back", path, offset, 64)).strip()
    assert seen == planes.tobytes()[:64].hex(), "another process does not see what was stored through the map"
    del array
    place.disturb(path)
    assert (np.load(path) == planes).all()

    array = np.load(path, mmap_mode="r+")
    array[3] = 7
    place.disturb(path, still_open=True)
    array[4] = 8
    del array  # no flush: closing the map must be enough
    planes[3], planes[4] = 7, 8
    assert (np.load(path) == planes).all(), "a store through the map was lost"
    place.disturb(path)
    assert (np.load(path) == planes).all(), "a store through the map was lost in a move after it"


@check
def numpy_memory_maps_keep_every_store(place):
    _memmap(place, scratch=False)


@check
def numpy_memory_maps_on_scratch_keep_every_store(place):
    _memmap(place, scratch=True)


@check
def numpy_memmap_of_raw_bytes_grows_a_sparse_file(place):
    folder = place.fresh("memmap-raw")
    path, planes = folder / "raw.bin", _pattern(3)
    array = np.memmap(path, dtype=np.uint16, mode="w+", shape=SHAPE)
    array[-1] = planes[-1]
    del array
    place.disturb(path)
    array = np.memmap(path, dtype=np.uint16, mode="r+", shape=SHAPE)
    assert (array[:-1] == 0).all() and (array[-1] == planes[-1]).all()
    array[:] = planes
    array.flush()
    del array
    place.disturb(path)
    assert (np.fromfile(path, dtype=np.uint16).reshape(SHAPE) == planes).all()


@check
def npy_files_written_by_save_are_read_as_they_were(place):
    folder = place.fresh("npy")
    for number in range(30):
        np.save(folder / f"{number}.npy", _pattern(number, (64, 64)))
    place.expect(folder / "0.npy")
    place.disturb(folder)
    for number in range(30):
        assert (np.load(folder / f"{number}.npy") == _pattern(number, (64, 64))).all()
