"""The webhook over HTTP: AdmissionReview v1 in and out, health, metrics."""
