"""Making a recording fit for one submit: the choice of a method, compression, splits, staging. Measures nothing."""
