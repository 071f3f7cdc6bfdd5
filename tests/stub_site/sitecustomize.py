"""Stub networks for the processes that a test starts, and for those that these start: Python imports this by itself.

The folder of this file has to be in PYTHONPATH; STUB_DELAY are the seconds that the detector takes for a frame.
"""

import importlib.abc
import importlib.util
import os
import sys
from pathlib import Path

MODULE = "tracker.pipeline.networks"


class StubFinder(importlib.abc.MetaPathFinder):
    """Installs the stub networks when the module is imported whose networks they replace."""

    def find_spec(self, name, path, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_install(module):
            execute(module)
            sys.path.append(str(Path(__file__).resolve().parents[1]))
            import stub_networks

            stub_networks.install(module, 0.0, float(os.environ["STUB_DELAY"]))

        spec.loader.exec_module = execute_and_install
        return spec


if "STUB_DELAY" in os.environ:
    sys.meta_path.insert(0, StubFinder())
