"""What can be named: models, presets and parts; and `Spec`, a model's name with its arguments.

A saved file can name what stands here and nothing else: no module paths, no callables, no addresses. Importing
this package loads no model; a name is imported when it is asked for.
"""

from likely.registry.arguments import Argument, arguments_of
from likely.registry.names import MODELS, PARTS, model_class, part_class
from likely.registry.presets import PRESETS, Preset
from likely.registry.registration import register
from likely.registry.spec import Spec, from_json, parse_part, to_json

__all__ = [
    "MODELS",
    "PARTS",
    "PRESETS",
    "Argument",
    "Preset",
    "Spec",
    "arguments_of",
    "from_json",
    "model_class",
    "parse_part",
    "part_class",
    "register",
    "to_json",
]
