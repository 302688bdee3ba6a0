"""Imports the scripts of this folder, whose names have no .py."""

import importlib.machinery
import importlib.util
import pathlib


def load(name):
    loader = importlib.machinery.SourceFileLoader(name, str(pathlib.Path(__file__).with_name(name)))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module
