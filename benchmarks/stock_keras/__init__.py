"""The models of the cases in stock Keras, trained as Keras' own guides say."""
