"""The pure core: a pod and what is known of its namespace -> a decision -> a JSON patch."""
