"""The kubelet's word on which devices it gave to a container."""
