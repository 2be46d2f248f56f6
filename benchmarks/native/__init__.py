"""Each backend's own code for the cases, as its best users write it; none imports Keras."""
