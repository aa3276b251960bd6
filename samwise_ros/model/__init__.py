"""The network: stateless calls on tensors, nothing about cameras or ROS."""

from hydra.core.global_hydra import GlobalHydra


def _import_sam2() -> None:
    """Import `sam2` before any module here does.

    It claims Hydra's global state, which is given back unless somebody had it before.
    """
    claimed_before = GlobalHydra.instance().is_initialized()
    import sam2  # noqa: F401

    if not claimed_before:
        GlobalHydra.instance().clear()


_import_sam2()
