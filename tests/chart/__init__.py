"""The chart as real helm renders it, without a cluster."""
