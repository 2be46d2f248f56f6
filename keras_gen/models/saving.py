"""How a model is saved and rebuilt: every constructor argument is an attribute of that name."""

import inspect

import keras


class SavedByArguments:
    """Placed before `keras.Model`: `get_config` is read off the constructor's arguments."""

    def get_config(self):
        config = {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }
        for argument in constructor_arguments(type(self)):
            if argument not in config:
                value = getattr(self, argument)
                config[argument] = keras.saving.serialize_keras_object(value)
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(
            **{
                # Keras empties what it deserializes: hand it a copy.
                name: keras.saving.deserialize_keras_object(_copied(value), custom_objects)
                for name, value in config.items()
            }
        )


def constructor_arguments(cls):
    """Names of the constructor's arguments, the base's included."""
    names = {}
    for ancestor in cls.__mro__:
        for name, parameter in inspect.signature(ancestor.__init__).parameters.items():
            if name != "self" and parameter.kind not in (
                parameter.VAR_KEYWORD,
                parameter.VAR_POSITIONAL,
            ):
                names[name] = None
        if SavedByArguments in ancestor.__bases__:
            break
    return tuple(names)


def _copied(value):
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
