from setuptools import setup

setup(cffi_modules=["hostsim/espike_sim/_build.py:ffi"], options={"bdist_wheel": {"py_limited_api": "cp311"}})
